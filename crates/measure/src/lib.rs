//! Measurement from outside: probes, report schema, HTML

//! REST /v1: server, OpenAPI and client

//! The lab: sites in namespaces, the WAN between them, the guest

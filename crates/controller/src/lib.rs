//! The services behind the API: agents' listener, registry, directory, migration engine

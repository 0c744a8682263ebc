//! Schemas of limits.

use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A limit for the migrations that share something.
#[derive(ToSchema)]
pub struct Limit {
    /// Migrations that run at once; none is no limit.
    #[schema(required = false, minimum = 1)]
    pub at_once: Option<u32>,
    /// What they may send together, Mbit/s; none is what uplinks are known to carry.
    #[schema(required = false)]
    pub mbit: Option<f64>,
}

/// What holds for all migrations of the controller.
#[derive(ToSchema)]
pub struct Limits {
    /// All migrations together.
    #[schema(required = false)]
    pub controller: Limit,
    /// Those that leave or enter a site, for every site without a limit of its own.
    #[schema(required = false)]
    pub site: Limit,
    /// Those that send or receive through a host's uplink, for every host without a limit of its own.
    #[schema(required = false)]
    pub uplink: Limit,
    /// Sites with a limit of their own.
    #[schema(required = false)]
    pub sites: BTreeMap<String, Limit>,
    /// Hosts whose uplinks have a limit of their own.
    #[schema(required = false)]
    pub uplinks: BTreeMap<String, Limit>,
    /// When a site's clusters may begin to move and switch over: two moments, or two times of every day
    /// (UTC).
    #[schema(required = false, example = json!({"south": ["22:00/04:00"]}))]
    pub windows: BTreeMap<String, Vec<String>>,
    /// Less than this is too little to begin with, Mbit/s.
    #[schema(required = false, default = 10.0)]
    pub least_mbit: f64,
}

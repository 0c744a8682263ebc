//! Limits and windows.

use clap::{Args, Subcommand};
use model::limits::{Limit, Limits};
use model::window::Window;
use model::{HostName, SiteName};
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Show what limits migrations, and the windows of sites
    Show,
    /// Change some of it; the rest stays. What runs goes on
    Set(Box<SetArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
N and MBIT may be 'none'. They hold for each host or site that has none of its own; with a name, as in
north-1=2, for that one.

Examples:
  transhume limits set --uplink 2 --uplink south-1=1 --controller 8
  transhume limits set --uplink-mbit 150 --window south=22:00/04:00
  transhume limits set --reset")]
pub(crate) struct SetArgs {
    /// Migrations at once, all together
    #[arg(long, value_name = "N")]
    controller: Option<Most<u32>>,
    /// What they may send, all together, Mbit/s
    #[arg(long, value_name = "MBIT")]
    controller_mbit: Option<Most<f64>>,
    /// Migrations at once that leave or enter a site
    #[arg(long, value_name = "[SITE=]N")]
    site: Vec<Of<SiteName, u32>>,
    /// What they may send, Mbit/s
    #[arg(long, value_name = "[SITE=]MBIT")]
    site_mbit: Vec<Of<SiteName, f64>>,
    /// Migrations at once that send or receive through a host's uplink
    #[arg(long, value_name = "[HOST=]N")]
    uplink: Vec<Of<HostName, u32>>,
    /// What they may send, Mbit/s
    #[arg(long, value_name = "[HOST=]MBIT")]
    uplink_mbit: Vec<Of<HostName, f64>>,
    /// Less than this is too little to begin with, Mbit/s
    #[arg(long, value_name = "MBIT")]
    least_mbit: Option<f64>,
    /// When a site's clusters may begin to move and switch over; several are several windows, and take
    /// the place of those it had
    #[arg(long, value_name = "SITE=FROM/UNTIL")]
    window: Vec<SiteWindow>,
    /// A site without windows
    #[arg(long, value_name = "SITE")]
    no_window: Vec<SiteName>,
    /// Go back to the limits of the controller's configuration file
    #[arg(long, conflicts_with_all = [
        "controller", "controller_mbit", "site", "site_mbit", "uplink", "uplink_mbit", "least_mbit",
        "window", "no_window",
    ])]
    pub(crate) reset: bool,
}

/// A number, or none.
#[derive(Debug, Clone, Copy)]
struct Most<T>(Option<T>);

impl<T: FromStr> FromStr for Most<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let number = text.parse().map(Some).map(Self);
        number.map_err(|_| "use a number above 0, or none".to_owned())
    }
}

/// A number for one, or for all without their own.
#[derive(Debug, Clone)]
struct Of<N, T> {
    name: Option<N>,
    most: Most<T>,
}

impl<N: FromStr<Err: ToString>, T: FromStr> FromStr for Of<N, T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, most) = match text.split_once('=') {
            Some((name, most)) => (Some(name), most),
            None => (None, text),
        };
        let name = name.map(|name| name.parse().map_err(|error: N::Err| error.to_string()));
        Ok(Self {
            name: name.transpose()?,
            most: most.parse()?,
        })
    }
}

#[derive(Debug, Clone)]
struct SiteWindow(SiteName, Window);

impl FromStr for SiteWindow {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let (site, window) = parts.ok_or("use SITE=FROM/UNTIL, as in south=22:00/04:00")?;
        let site = site
            .parse()
            .map_err(|error: model::InvalidName| error.to_string())?;
        let window = window
            .parse()
            .map_err(|error: model::window::InvalidWindow| error.to_string())?;
        Ok(Self(site, window))
    }
}

impl SetArgs {
    /// True when nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.controller.is_none()
            && self.controller_mbit.is_none()
            && self.least_mbit.is_none()
            && self.site.is_empty()
            && self.site_mbit.is_empty()
            && self.uplink.is_empty()
            && self.uplink_mbit.is_empty()
            && self.window.is_empty()
            && self.no_window.is_empty()
    }

    /// The limits with what was asked for.
    pub(crate) fn over(&self, mut limits: Limits) -> Limits {
        if let Some(Most(at_once)) = self.controller {
            limits.controller.at_once = at_once;
        }
        if let Some(Most(mbit)) = self.controller_mbit {
            limits.controller.mbit = mbit;
        }
        for it in &self.site {
            site(&mut limits, it.name.as_ref()).at_once = it.most.0;
        }
        for it in &self.site_mbit {
            site(&mut limits, it.name.as_ref()).mbit = it.most.0;
        }
        for it in &self.uplink {
            uplink(&mut limits, it.name.as_ref()).at_once = it.most.0;
        }
        for it in &self.uplink_mbit {
            uplink(&mut limits, it.name.as_ref()).mbit = it.most.0;
        }
        if let Some(mbit) = self.least_mbit {
            limits.least_mbit = mbit;
        }
        for site in &self.no_window {
            limits.windows.remove(site);
        }
        for SiteWindow(site, _) in &self.window {
            limits.windows.remove(site);
        }
        for SiteWindow(site, window) in &self.window {
            limits
                .windows
                .entry(site.clone())
                .or_default()
                .push(*window);
        }
        limits
    }
}

fn site<'a>(limits: &'a mut Limits, site: Option<&SiteName>) -> &'a mut Limit {
    let own = limits.site;
    match site {
        Some(site) => limits.sites.entry(site.clone()).or_insert(own),
        None => &mut limits.site,
    }
}

fn uplink<'a>(limits: &'a mut Limits, host: Option<&HostName>) -> &'a mut Limit {
    let own = limits.uplink;
    match host {
        Some(host) => limits.uplinks.entry(host.clone()).or_insert(own),
        None => &mut limits.uplink,
    }
}

//! Clusters, VMs, endpoints.

use super::{joined, lines, or_dash, vm_state};
use crate::output::table;
use api::view::{Cluster, Endpoint, Vm};
use model::{ClusterName, MemberKind, VmName};

pub(crate) fn clusters(clusters: &[Cluster]) -> String {
    let rows = clusters.iter().map(|cluster| {
        let members = &cluster.spec.members;
        let vms = members
            .iter()
            .filter(|member| matches!(member.kind, MemberKind::Vm { .. }))
            .count();
        vec![
            cluster.spec.name.to_string(),
            vms.to_string(),
            members.len().to_string(),
            joined(&cluster.sites, ", "),
            cluster.spec.encap.as_str().to_owned(),
            cluster.spec.vni.to_string(),
            cluster.mtu.to_string(),
            or_dash(cluster.migration.as_ref()),
        ]
    });
    table(
        &[
            "NAME",
            "VMS",
            "MEMBERS",
            "SITE",
            "ENCAP",
            "VNI",
            "MTU",
            "MIGRATION",
        ],
        rows,
    )
}

pub(crate) fn cluster(cluster: &Cluster, vms: &[Vm], endpoints: &[Endpoint]) -> String {
    let spec = &cluster.spec;
    let mut text = format!(
        "{}: {} network {}, MTU {}",
        spec.name,
        spec.encap.as_str(),
        spec.vni,
        cluster.mtu
    );
    if !cluster.sites.is_empty() {
        text.push_str(&format!(", at {}", joined(&cluster.sites, ", ")));
    }
    if let Some(id) = &cluster.migration {
        text.push_str(&format!(", moved by {id}"));
    }
    text.push_str("\n\n");
    let rows = spec.members.iter().map(|member| {
        let of_us =
            |cluster: &ClusterName, name: &VmName| *cluster == spec.name && *name == member.name;
        let vm = vms.iter().find(|vm| of_us(&vm.cluster, &vm.name));
        let place = endpoints
            .iter()
            .find(|one| of_us(&one.entry.cluster, &one.entry.vm));
        vec![
            member.name.to_string(),
            match (&member.kind, vm) {
                (MemberKind::Host, _) => "host itself".to_owned(),
                (MemberKind::Vm { .. }, Some(vm)) => format!("VM {}", vm_state(vm.state)),
                (MemberKind::Vm { .. }, None) => "VM unknown".to_owned(),
            },
            or_dash(place.map(|place| &place.entry.locator.host)),
            or_dash(place.map(|place| &place.site)),
            lines(&member.addresses),
            member.mac.to_string(),
        ]
    });
    text + &table(
        &["MEMBER", "WHAT", "HOST", "SITE", "ADDRESSES", "MAC"],
        rows,
    )
}

pub(crate) fn vms(vms: &[Vm]) -> String {
    let rows = vms.iter().map(|vm| {
        vec![
            vm.cluster.to_string(),
            vm.name.to_string(),
            vm_state(vm.state).to_owned(),
            vm.host.to_string(),
            vm.site.to_string(),
            lines(&vm.addresses),
            vm.vcpus.to_string(),
            vm.memory_mib.to_string(),
            or_dash(vm.migration.as_ref()),
        ]
    });
    table(
        &[
            "CLUSTER",
            "VM",
            "STATE",
            "HOST",
            "SITE",
            "ADDRESSES",
            "CPUS",
            "MIB",
            "MIGRATION",
        ],
        rows,
    )
}

pub(crate) fn endpoints(endpoints: &[Endpoint]) -> String {
    let rows = endpoints.iter().map(|endpoint| {
        let entry = &endpoint.entry;
        vec![
            entry.cluster.to_string(),
            entry.vm.to_string(),
            lines(&entry.ips),
            entry.mac.to_string(),
            entry.locator.host.to_string(),
            entry.locator.address.to_string(),
            entry.epoch.0.to_string(),
        ]
    });
    table(
        &[
            "CLUSTER",
            "ENDPOINT",
            "ADDRESSES",
            "MAC",
            "HOST",
            "LOCATOR",
            "EPOCH",
        ],
        rows,
    )
}

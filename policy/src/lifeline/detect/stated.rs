//! Lifelines whose far end no object, or hardly any, tells.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv6Net};

use super::Find;
use super::facts::{Facts, addresses, host_and_port, key, of_slice, origin, stated_by};
use super::node::link_local;
use super::overlay::{daemon_set, of_set};
use crate::lifeline::config::Distribution;
use crate::lifeline::model::{Party, Traffic};
use crate::net::Family;

pub(super) fn admin_ssh(facts: &Facts<'_>, find: &mut Find) {
    if facts.is(Distribution::Talos) {
        return;
    }
    let what = "no object tells where administrators come from";
    if let Some(admins) = facts.stated(find, "adminCIDRs", "administrators", what) {
        find.flow(admins, facts.every_node(), &[Traffic::tcp(22)]);
    }
}

/// apid of control-plane nodes passes on what is for the others
/// (siderolabs/docs:public/talos/v1.14/networking/ingress-firewall.mdx).
pub(super) fn admin_talos(facts: &Facts<'_>, find: &mut Find) {
    if !facts.is(Distribution::Talos) {
        return;
    }
    let servers = Party::Nodes(facts.api.nodes.clone());
    let others = facts.all.difference(&facts.api.nodes).cloned().collect();
    let apid = [Traffic::tcp(50000)];
    find.flow(servers.clone(), Party::Nodes(Arc::new(others)), &apid);
    find.flow(servers.clone(), servers.clone(), &apid);
    find.because(facts.distribution.iter().map(|(_, told)| told.clone()));
    let what = "no object tells where administrators come from";
    if let Some(admins) = facts.stated(find, "adminCIDRs", "administrators", what) {
        find.flow(admins, servers, &apid);
    }
}

pub(super) fn dns(facts: &Facts<'_>, find: &mut Find) {
    let port = [Traffic::udp(53), Traffic::tcp(53)];
    if let Some(resolvers) = facts.stated(find, "dnsServers", "resolvers", "no object tells which resolvers nodes ask")
    {
        find.flow(facts.every_node(), resolvers, &port);
    }
    // The cache on each node asks the cluster's own DNS (kubernetes/kubernetes:cluster/addons/dns/nodelocaldns).
    if let Some(cache) = daemon_set(facts, "node-local-dns") {
        for slice in facts.slices("kube-system", "kube-dns") {
            let nets = slice.endpoints.iter().flat_map(|it| &it.addresses).copied().map(IpNet::from).collect();
            if find.flow(facts.every_node(), addresses("cluster DNS", nets), &port) {
                find.because([of_set(cache, "metadata.name"), of_slice(slice, "endpoints")]);
            }
        }
    }
}

pub(super) fn ntp(facts: &Facts<'_>, find: &mut Find) {
    if let Some(servers) =
        facts.stated(find, "ntpServers", "time servers", "no object tells which time servers nodes ask")
    {
        find.flow(facts.every_node(), servers, &[Traffic::udp(123)]);
    }
}

pub(super) fn image_pull(facts: &Facts<'_>, find: &mut Find) {
    let what = "no object tells the addresses of the registries that nodes pull images from";
    if let Some(registries) = facts.stated(find, "registries", "registries", what) {
        find.flow(facts.every_node(), registries, &[Traffic::tcp(443)]);
    }
}

pub(super) fn rancher(facts: &Facts<'_>, find: &mut Find) {
    let deployments = &facts.cluster.deployments;
    let Some(agent) = deployments.iter().find(|deployment| deployment.name == "cattle-cluster-agent") else { return };
    let Some(server) = agent.containers.iter().find_map(|container| container.env.get("CATTLE_SERVER")) else { return };
    let (host, port) = host_and_port(server);
    let address = host.parse::<IpAddr>();
    let (party, port) = match address {
        Ok(address) => (addresses("Rancher", vec![IpNet::from(address)]), port.unwrap_or(443)),
        Err(_) => {
            let what = format!("nodes reach Rancher as `{host}`, whose addresses no object tells");
            let Some(stated) = facts.stated(find, "rancherServers", "Rancher", &what) else { return };
            (stated, port.unwrap_or(443))
        }
    };
    if find.flow(facts.every_node(), party, &[Traffic::tcp(port)]) {
        find.because([origin(key("apps", "Deployment", &agent.namespace, &agent.name), "env CATTLE_SERVER")]);
    }
}

pub(super) fn dhcp4(facts: &Facts<'_>, find: &mut Find) {
    if !facts.v4() {
        return;
    }
    let Some(servers) = dhcp(facts, find, Family::IPv4) else { return };
    // RFC 2131: from one well-known port to the other.
    find.flow(facts.every_node(), servers.clone(), &[Traffic { source_port: Some(68), ..Traffic::udp(67) }]);
    find.flow(servers, facts.every_node(), &[Traffic { source_port: Some(67), ..Traffic::udp(68) }]);
}

/// RFC 9915: servers listen on a group of the link and answer to link-local addresses.
pub(super) fn dhcp6(facts: &Facts<'_>, find: &mut Find) {
    if facts.v6().is_none() {
        return;
    }
    let Some(Party::Addresses { name, nets }) = dhcp(facts, find, Family::IPv6) else { return };
    if nets.is_empty() {
        return;
    }
    let group = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2), 128));
    let with = |more: IpNet| addresses(&name, nets.iter().copied().chain([more]).collect());
    find.flow(facts.every_node(), with(group), &[Traffic::udp(547)]);
    find.flow(with(link_local()), facts.every_node(), &[Traffic::udp(546)]);
}

/// Servers of a family.
fn dhcp(facts: &Facts<'_>, find: &mut Find, family: Family) -> Option<Party> {
    let what = "no object tells whether nodes have their addresses by DHCP, and from which servers";
    let Some(cidrs) = facts.parameters.addresses("dhcpServers") else {
        find.missing("dhcpServers", what);
        return None;
    };
    let nets: Vec<IpNet> = cidrs.iter().filter(|cidr| cidr.family() == family).map(|cidr| cidr.net()).collect();
    if !nets.is_empty() {
        find.because([stated_by("dhcpServers")]);
    }
    Some(addresses("DHCP servers", nets))
}

pub(super) fn storage(facts: &Facts<'_>, find: &mut Find) {
    let mut unknown = None;
    for volume in &facts.cluster.volumes {
        let default = if volume.field == "spec.nfs.server" { 2049 } else { 3260 };
        let (host, port) = host_and_port(&volume.server);
        let Ok(address) = host.parse::<IpAddr>() else {
            unknown.get_or_insert(host);
            continue;
        };
        let server = addresses("storage", vec![IpNet::from(address)]);
        if find.flow(facts.every_node(), server, &[Traffic::tcp(port.unwrap_or(default))]) {
            find.because([origin(key("", "PersistentVolume", "", &volume.name), volume.field.clone())]);
        }
    }
    if facts.parameters.addresses("storageServers").is_some() || unknown.is_some() {
        let what = format!("nodes mount volumes of `{}`, whose addresses no object tells", unknown.unwrap_or_default());
        if let Some(servers) = facts.stated(find, "storageServers", "storage", &what) {
            find.flow(facts.every_node(), servers, &[Traffic::tcp(3260), Traffic::tcp(2049)]);
        }
    }
}

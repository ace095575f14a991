//! One element of a rule, checked and resolved (cilium/cilium:pkg/policy/api/rule_validation.go,
//! pkg/policy/utils/parserules.go).

use serde_json::Value;

use super::Context;
use super::model::{Condition, Element, Peers, Port};
use super::number;
use super::ports::{decoded, icmps, l7_count, ports};
use super::refusal::Fault;
use crate::cilium::api::{CidrRule, EgressRule, EndpointSelector, IcmpRule, IngressRule, PortRule};
use crate::cilium::selector::{self, Covering, Entity, Selector};
use crate::cilium::version::Version;
use crate::packet::Direction;

/// An element of either direction, with one name for what both have.
pub(super) struct Written<'e> {
    pub(super) direction: Direction,
    endpoints: Option<&'e [EndpointSelector]>,
    cidr: Option<&'e [String]>,
    cidr_set: Option<&'e [CidrRule]>,
    entities: Option<&'e [String]>,
    nodes: Option<&'e [EndpointSelector]>,
    groups: Option<&'e [Value]>,
    services: Option<&'e [Value]>,
    fqdns: Option<&'e [Value]>,
    requires: Option<&'e [String]>,
    to_ports: &'e [PortRule],
    icmps: &'e [IcmpRule],
    authentication: Option<&'e Value>,
}

impl<'e> From<&'e IngressRule> for Written<'e> {
    fn from(rule: &'e IngressRule) -> Self {
        Self {
            direction: Direction::Ingress,
            endpoints: rule.from_endpoints.as_deref(),
            cidr: rule.from_cidr.as_deref(),
            cidr_set: rule.from_cidr_set.as_deref(),
            entities: rule.from_entities.as_deref(),
            nodes: rule.from_nodes.as_deref(),
            groups: rule.from_groups.as_deref(),
            services: None,
            fqdns: None,
            requires: rule.from_requires.as_deref(),
            to_ports: rule.to_ports.as_deref().unwrap_or_default(),
            icmps: rule.icmps.as_deref().unwrap_or_default(),
            authentication: rule.authentication.as_ref(),
        }
    }
}

impl<'e> From<&'e EgressRule> for Written<'e> {
    fn from(rule: &'e EgressRule) -> Self {
        Self {
            direction: Direction::Egress,
            endpoints: rule.to_endpoints.as_deref(),
            cidr: rule.to_cidr.as_deref(),
            cidr_set: rule.to_cidr_set.as_deref(),
            entities: rule.to_entities.as_deref(),
            nodes: rule.to_nodes.as_deref(),
            groups: rule.to_groups.as_deref(),
            services: rule.to_services.as_deref(),
            fqdns: rule.to_fqdns.as_deref(),
            requires: rule.to_requires.as_deref(),
            to_ports: rule.to_ports.as_deref().unwrap_or_default(),
            icmps: rule.icmps.as_deref().unwrap_or_default(),
            authentication: rule.authentication.as_ref(),
        }
    }
}

impl Written<'_> {
    /// Whether it can be decoded, beyond what its type says.
    pub(super) fn decoded(&self, path: &str) -> Result<(), Fault> {
        decoded(self.to_ports, self.icmps, path)
    }

    /// Checks it and says what it matches. `host` is whether the rule is for hosts.
    pub(super) fn build(
        &self,
        path: String,
        deny: bool,
        host: bool,
        context: &mut Context<'_>,
    ) -> Result<Element, Fault> {
        let mut selectors = self.selectors(&path, deny, context)?;
        self.check_l7(&path, deny, host, context)?;
        if !self.icmps.is_empty() && !context.settings.icmp_rules.value {
            return Err(Fault::sanitize(&path, "icmps need enable-icmp-rules"));
        }
        if !self.icmps.is_empty() && !self.to_ports.is_empty() {
            return Err(Fault::sanitize(&path, "icmps and toPorts exclude each other in one element"));
        }
        let mut all = ports(self.to_ports, &format!("{path}.toPorts"), deny, context.settings)?;
        all.extend(icmps(self.icmps, &format!("{path}.icmps"))?);
        let limited = !self.to_ports.is_empty() || !self.icmps.is_empty();
        let ports: Option<Vec<Port>> = limited.then_some(all);
        let nobody =
            self.has_empty_list() || self.is_unresolved_in_old_version(context) || (selectors.is_empty() && !limited);
        let peers = if nobody {
            Peers::Nobody
        } else {
            if selectors.is_empty() {
                selectors.push(Selector::Everyone);
            }
            Peers::Some(selectors)
        };
        let condition = if deny { None } else { self.condition() };
        let open = if self.has_empty_list() { Vec::new() } else { self.open(deny, context) };
        Ok(Element { direction: self.direction, deny, path, peers, open, ports, condition })
    }

    /// An empty list of these kinds selects nobody, whatever stands beside it; one of the others counts as absent.
    fn has_empty_list(&self) -> bool {
        self.endpoints.is_some_and(<[_]>::is_empty)
            || self.nodes.is_some_and(<[_]>::is_empty)
            || self.entities.is_some_and(<[_]>::is_empty)
            || self.cidr.is_some_and(<[_]>::is_empty)
            || self.cidr_set.is_some_and(<[_]>::is_empty)
    }

    /// Before 1.19 peers that resolve to nothing were not everyone.
    fn is_unresolved_in_old_version(&self, context: &Context<'_>) -> bool {
        let filled = |list: Option<&[Value]>| list.is_some_and(|list| !list.is_empty());
        context.settings.version.value < Version::V1_19
            && (filled(self.services) || filled(self.groups) || filled(self.fqdns))
    }

    fn selectors(&self, path: &str, deny: bool, context: &mut Context<'_>) -> Result<Vec<Selector>, Fault> {
        let kinds = [
            ("Endpoints", self.endpoints.map_or(0, <[_]>::len)),
            ("CIDR", self.cidr.map_or(0, <[_]>::len)),
            ("CIDRSet", self.cidr_set.map_or(0, <[_]>::len)),
            ("Entities", self.entities.map_or(0, <[_]>::len)),
            ("Nodes", self.nodes.map_or(0, <[_]>::len)),
            ("Groups", self.groups.map_or(0, <[_]>::len)),
            ("Services", self.services.map_or(0, <[_]>::len)),
            ("FQDNs", if deny { 0 } else { self.fqdns.map_or(0, <[_]>::len) }),
        ];
        let used: Vec<&str> = kinds.iter().filter(|(_, count)| *count > 0).map(|(name, _)| *name).collect();
        if used.len() > 1 {
            return Err(Fault::sanitize(
                path,
                format!("one element takes one kind of peer, not {}", used.join(" and ")),
            ));
        }
        let settings = context.settings;
        let cluster = settings.selected_cluster();
        let mut selectors = Vec::new();
        for one in self.endpoints.unwrap_or_default() {
            selector::validate::selector(one).map_err(|reason| Fault::sanitize(path, reason))?;
            selectors.push(selector::endpoints(one, cluster));
        }
        for one in self.nodes.unwrap_or_default() {
            selector::validate::selector(one).map_err(|reason| Fault::sanitize(path, reason))?;
            if !settings.node_selectors.value {
                return Err(Fault::sanitize(path, "peers that are nodes by label need enable-node-selector-labels"));
            }
            selectors.push(selector::nodes(one, cluster));
        }
        let entities = Entity { version: settings.version.value, cluster: &settings.cluster.value };
        for name in self.entities.unwrap_or_default() {
            let found = entities.selectors(name);
            selectors.extend(found.ok_or_else(|| Fault::sanitize(path, format!("`{name}` is not an entity")))?);
        }
        let covering = Covering { ipv4: settings.ipv4.value, ipv6: settings.ipv6.value };
        for text in self.cidr.unwrap_or_default() {
            let prefix = number::prefix_or_address(text)
                .ok_or_else(|| Fault::sanitize(path, format!("`{text}` is neither a prefix nor an address")))?;
            selectors.push(Selector::Cidr(covering.prefix(prefix, &[])));
        }
        for rule in self.cidr_set.unwrap_or_default() {
            let selector = cidr_rule(rule, path, covering, settings.version.value)?;
            context.group_of_everyone |= selector == Selector::EveryGroup;
            let shares = matches!(&selector, Selector::Cidr(cidr) if cidr.may_have_key_of_others());
            if shares && rule.except.as_ref().is_none_or(Vec::is_empty) {
                context.shared(
                    path,
                    "a cidrGroupSelector by labels that groups do not have changes whom other selectors mean",
                );
            }
            selectors.push(selector);
        }
        self.unknown_peers(path, deny, context, &mut selectors)?;
        Ok(selectors)
    }

    /// Peers that a snapshot cannot resolve.
    fn unknown_peers(
        &self,
        path: &str,
        deny: bool,
        context: &mut Context<'_>,
        selectors: &mut Vec<Selector>,
    ) -> Result<(), Fault> {
        for group in self.groups.unwrap_or_default() {
            context.open(path, "who is in a provider's group");
            selectors.push(Selector::Unknown(of_group(group)));
        }
        for name in self.fqdns.unwrap_or_default() {
            if deny {
                context.unknown(path, "toFQDNs is not a field of egressDeny");
                continue;
            }
            fqdn(name, path)?;
            context.open(path, "which addresses DNS has answered with");
            selectors.push(Selector::Unknown(of_name(name)));
        }
        if self.services.unwrap_or_default().iter().any(|service| context.has_service(service)) {
            context.open(path, "toServices names a service that exists; its endpoints are not resolved");
        }
        if self.requires.is_some_and(|list| !list.is_empty()) {
            context.unknown(path, "fromRequires and toRequires have no meaning any more");
        }
        Ok(())
    }

    /// The same by what they are named.
    fn open(&self, deny: bool, context: &Context<'_>) -> Vec<String> {
        let groups = self.groups.unwrap_or_default().iter().map(of_group);
        let names = self.fqdns.filter(|_| !deny).unwrap_or_default().iter().map(of_name);
        let services = self.services.unwrap_or_default().iter().filter(|service| context.has_service(service));
        groups.chain(names).chain(services.map(|service| format!("service {service}"))).collect()
    }

    fn check_l7(&self, path: &str, deny: bool, host: bool, context: &mut Context<'_>) -> Result<(), Fault> {
        let ingress = self.direction == Direction::Ingress;
        for (index, rule) in self.to_ports.iter().enumerate() {
            let path = format!("{path}.toPorts[{index}]");
            let written = rule.rules.is_some()
                || rule.listener.is_some()
                || rule.terminating_tls.is_some()
                || rule.originating_tls.is_some()
                || rule.server_names.is_some();
            if deny {
                if written {
                    context.unknown(&path, "denies have no application-layer rules");
                }
                continue;
            }
            check_port_rule(rule, &path, ingress, host, context)?;
        }
        Ok(())
    }

    /// The mode of mutual authentication, if one is stated.
    pub(super) fn authentication(&self) -> Option<&str> {
        self.authentication.and_then(|authentication| authentication.get("mode")).and_then(Value::as_str)
    }

    /// What a packet has to do besides, where an element allows it.
    fn condition(&self) -> Option<Condition> {
        let mode = self.authentication();
        if mode.is_some_and(|mode| mode != "disabled") {
            return Some(Condition::Authentication);
        }
        let redirected = self.to_ports.iter().any(|rule| {
            l7_count(rule.rules.as_ref(), "dns") + l7_count(rule.rules.as_ref(), "http") > 0
                || rule.listener.is_some()
                || rule.terminating_tls.is_some()
                || rule.originating_tls.is_some()
                || rule.server_names.as_ref().is_some_and(|names| !names.is_empty())
        });
        redirected.then_some(Condition::Proxy)
    }
}

fn of_group(group: &Value) -> String {
    format!("provider group {group}")
}

fn of_name(name: &Value) -> String {
    format!("DNS name {name}")
}

/// Application-layer rules of one `toPorts` entry.
fn check_port_rule(
    rule: &PortRule,
    path: &str,
    ingress: bool,
    host: bool,
    context: &mut Context<'_>,
) -> Result<(), Fault> {
    let fault = |reason: &str| Err(Fault::sanitize(path, reason));
    let (dns, http) = (l7_count(rule.rules.as_ref(), "dns"), l7_count(rule.rules.as_ref(), "http"));
    let names = rule.server_names.as_deref().unwrap_or_default();
    if dns + http > 0 {
        match (host, ingress) {
            (true, true) => return fault("hosts take no application-layer rules on ingress"),
            (true, false) if http > 0 => return fault("hosts take no HTTP rules on egress"),
            _ => {}
        }
        if !context.settings.l7_proxy.value {
            return fault("application-layer rules need enable-l7-proxy");
        }
        if ingress && dns > 0 {
            return fault("DNS rules are for egress");
        }
        if dns > 0 && http > 0 {
            return fault("one entry takes one kind of application-layer rules");
        }
        if !names.is_empty() && rule.terminating_tls.is_none() {
            return fault("server names with application-layer rules need terminatingTLS");
        }
        let ports = rule.ports.as_deref().unwrap_or_default();
        if ports.is_empty() && dns > 0 {
            return fault("DNS rules need a port");
        }
        for port in ports {
            let tcp = port.protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("TCP"));
            if http > 0 && !tcp {
                return fault("application-layer rules other than DNS are for TCP");
            }
            let number = port.port.as_deref().unwrap_or_default();
            if !number::is_name(number) && number::number(number) == Ok(0) {
                return fault("application-layer rules do not go with port 0");
            }
        }
        if http > 0 {
            context.unknown(path, "HTTP rules are not checked");
        }
        for name in
            rule.rules.as_ref().and_then(|rules| rules.get("dns")).and_then(Value::as_array).into_iter().flatten()
        {
            fqdn(name, path)?;
        }
    }
    if names.iter().any(String::is_empty) {
        return fault("a server name is empty");
    }
    if rule.listener.is_some() && (ingress || dns + http > 0) {
        return fault("a listener is for egress and without application-layer rules");
    }
    if host && (rule.listener.is_some() || rule.terminating_tls.is_some() || rule.originating_tls.is_some()) {
        context.unknown(path, "listeners and TLS settings depend on objects that are not read");
    }
    Ok(())
}

fn cidr_rule(rule: &CidrRule, path: &str, covering: Covering, version: Version) -> Result<Selector, Fault> {
    let fault = |reason: String| Err(Fault::sanitize(path, reason));
    let cidr = rule.cidr.as_deref().filter(|text| !text.is_empty());
    let group = rule.cidr_group_ref.as_deref().filter(|text| !text.is_empty());
    let labels = rule.cidr_group_selector.as_ref();
    if let Some(labels) = labels {
        selector::validate::selector(labels).map_err(|reason| Fault::sanitize(path, reason))?;
    }
    if [cidr.is_some(), group.is_some(), labels.is_some()].into_iter().filter(|given| *given).count() != 1 {
        return fault("exactly one of cidr, cidrGroupRef and cidrGroupSelector must be given".to_owned());
    }
    let mut except = Vec::new();
    for text in rule.except.as_deref().unwrap_or_default() {
        let parsed = if cidr.is_some() { number::prefix(text) } else { number::prefix_or_address(text) };
        let Some(prefix) = parsed else {
            // With a group the agent does not look at the exceptions before it uses them, and then it ends.
            return fault(format!("the exception `{text}` is not a prefix"));
        };
        except.push(prefix);
    }
    if let Some(text) = cidr {
        let Some(prefix) = number::prefix(text) else {
            return fault(format!("`{text}` is not a prefix"));
        };
        for exception in &except {
            // Up to 1.19 only the address of an exception had to be within the prefix.
            let wider = version >= Version::V1_20 && prefix.prefix_len() > exception.prefix_len();
            if wider || !prefix.trunc().contains(&exception.addr()) {
                return fault(format!("{prefix} does not contain the exception {exception}"));
            }
        }
        return Ok(Selector::Cidr(covering.prefix(prefix, &except)));
    }
    if let Some(name) = group {
        return Ok(Selector::Cidr(covering.group(name, &except)));
    }
    let requirements = labels.map(selector::groups).unwrap_or_default();
    // An empty selector has the key of the selector of everyone in the agent's cache.
    if requirements.is_empty() && except.is_empty() {
        return Ok(Selector::EveryGroup);
    }
    Ok(Selector::Cidr(covering.groups(requirements, &except)))
}

/// Checks a DNS name or pattern.
fn fqdn(value: &Value, path: &str) -> Result<(), Fault> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, pattern) = (text("matchName"), text("matchPattern"));
    let plain = |extra: &str, text: &str| {
        text.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.') || extra.contains(one))
    };
    if !name.is_empty() && !pattern.is_empty() {
        return Err(Fault::sanitize(path, "one of matchName and matchPattern"));
    }
    if !plain("", name) || !plain("*", pattern) {
        return Err(Fault::sanitize(path, format!("`{name}{pattern}` is not a DNS name or pattern")));
    }
    Ok(())
}

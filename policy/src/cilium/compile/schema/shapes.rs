//! The shapes of the schema, as facts.

use std::sync::LazyLock;

use regex_lite::Regex;

use crate::cilium::compile::number;
use crate::cilium::selector::ENTITIES;
use crate::cilium::version::Version;

/// What a value may be.
pub(super) enum Shape {
    Bool,
    Integer {
        least: i64,
        most: i64,
    },
    Text(fn(&str, Version) -> bool),
    /// An integer, or a text.
    Either(fn(&str, Version) -> bool),
    List {
        of: &'static Self,
        least: usize,
        most: usize,
    },
    /// Any keys.
    Map(&'static Self),
    Object {
        fields: &'static [(&'static str, &'static Self)],
        needs: &'static [Need],
    },
}

/// Which fields must be there.
pub(super) enum Need {
    All(&'static [&'static str]),
    ExactlyOne(&'static [&'static str]),
    AtLeastOne(&'static [&'static str]),
}

const ANY_NUMBER: usize = usize::MAX;

const fn list(of: &'static Shape) -> Shape {
    Shape::List { of, least: 0, most: ANY_NUMBER }
}

static TEXT: Shape = Shape::Text(|_, _| true);
static FILLED: Shape = Shape::Text(|text, _| !text.is_empty());
static PREFIX: Shape = Shape::Text(|text, _| is_prefix(text));
static PREFIXES: Shape = list(&PREFIX);
static SELECTOR: Shape = Shape::Object {
    fields: &[("matchLabels", &Shape::Map(&LABEL_VALUE)), ("matchExpressions", &EXPRESSIONS)],
    needs: &[],
};
static SELECTORS: Shape = list(&SELECTOR);
static LABEL_VALUE: Shape = Shape::Text(|text, _| text.len() <= 63 && matches(&PATTERNS.value, text));
static EXPRESSIONS: Shape = list(&EXPRESSION);
static EXPRESSION: Shape = Shape::Object {
    fields: &[("key", &TEXT), ("operator", &OPERATOR), ("values", &list(&TEXT))],
    needs: &[Need::All(&["key", "operator"])],
};
static OPERATOR: Shape = Shape::Text(|text, _| matches!(text, "In" | "NotIn" | "Exists" | "DoesNotExist"));
static CIDR_RULE: Shape = Shape::Object {
    fields: &[("cidr", &PREFIX), ("cidrGroupRef", &GROUP), ("cidrGroupSelector", &SELECTOR), ("except", &PREFIXES)],
    needs: &[Need::ExactlyOne(&["cidr", "cidrGroupRef", "cidrGroupSelector"])],
};
static CIDR_RULES: Shape = list(&CIDR_RULE);
static GROUP: Shape = Shape::Text(|text, _| text.len() <= 253 && matches(&PATTERNS.group, text));
static ENTITY: Shape =
    Shape::Text(|text, version| ENTITIES.iter().any(|(name, since)| *name == text && *since <= version));
static ENTITY_LIST: Shape = list(&ENTITY);
static NOTHING: Shape = Shape::List { of: &TEXT, least: 0, most: 0 };
static AUTHENTICATION: Shape =
    Shape::Object { fields: &[("mode", &AUTHENTICATION_MODE)], needs: &[Need::All(&["mode"])] };
static AUTHENTICATION_MODE: Shape = Shape::Text(|text, _| matches!(text, "disabled" | "required" | "test-always-fail"));
static ICMPS: Shape = list(&ICMP_RULE);
static ICMP_RULE: Shape =
    Shape::Object { fields: &[("fields", &Shape::List { of: &ICMP_FIELD, least: 0, most: 40 })], needs: &[] };
static ICMP_FIELD: Shape =
    Shape::Object { fields: &[("family", &FAMILY), ("type", &ICMP_TYPE)], needs: &[Need::All(&["type"])] };
static FAMILY: Shape = Shape::Text(|text, _| matches!(text, "IPv4" | "IPv6"));
static ICMP_TYPE: Shape = Shape::Either(|text, _| matches(&PATTERNS.icmp, text));
static PORT_RULES: Shape = list(&PORT_RULE);
static PORT_RULE: Shape = Shape::Object {
    fields: &[
        ("ports", &Shape::List { of: &PORT, least: 0, most: 40 }),
        ("rules", &L7_RULES),
        ("listener", &LISTENER),
        ("terminatingTLS", &TLS),
        ("originatingTLS", &TLS),
        ("serverNames", &Shape::List { of: &SERVER_NAME, least: 1, most: ANY_NUMBER }),
    ],
    needs: &[],
};
/// Without the maximum of ports, which the schema gives for allows only.
static DENY_PORT_RULES: Shape = list(&DENY_PORT_RULE);
static DENY_PORT_RULE: Shape = Shape::Object { fields: &[("ports", &list(&PORT))], needs: &[] };
static PORT: Shape = Shape::Object {
    fields: &[("port", &PORT_NUMBER), ("endPort", &Shape::Integer { least: 0, most: 65_535 }), ("protocol", &PROTOCOL)],
    needs: &[],
};
static PORT_NUMBER: Shape = Shape::Text(|text, _| matches(&PATTERNS.port, text));
static PROTOCOL: Shape = Shape::Text(|text, version| match text {
    "TCP" | "UDP" | "SCTP" | "ANY" => true,
    // For a time these stood in the schema, and only the agent refused them.
    "ICMP" | "ICMPV6" => version < Version::V1_19,
    "VRRP" | "IGMP" => version >= Version::V1_19,
    "GRE" | "IPIP" | "IPV6" | "ESP" | "AH" => version >= Version::V1_20,
    _ => false,
});
static SERVER_NAME: Shape = Shape::Text(|text, _| text.len() <= 255 && matches(&PATTERNS.dns_pattern, text));
static TLS: Shape = Shape::Object { fields: &[("secret", &SECRET)], needs: &[Need::All(&["secret"])] };
static SECRET: Shape =
    Shape::Object { fields: &[("name", &TEXT), ("namespace", &TEXT)], needs: &[Need::All(&["name"])] };
static LISTENER: Shape = Shape::Object {
    fields: &[
        ("name", &FILLED),
        ("priority", &Shape::Integer { least: 1, most: 100 }),
        (
            "envoyConfig",
            &Shape::Object {
                fields: &[
                    ("name", &FILLED),
                    (
                        "kind",
                        &Shape::Text(|text, _| matches!(text, "CiliumEnvoyConfig" | "CiliumClusterwideEnvoyConfig")),
                    ),
                ],
                needs: &[Need::All(&["name"])],
            },
        ),
    ],
    needs: &[Need::All(&["envoyConfig", "name"])],
};
static L7_RULES: Shape = Shape::Object {
    fields: &[("dns", &list(&FQDN)), ("http", &list(&HTTP))],
    needs: &[Need::ExactlyOne(&["dns", "http"])],
};
static HTTP: Shape = Shape::Object {
    fields: &[("path", &TEXT), ("method", &TEXT), ("host", &TEXT), ("headers", &list(&TEXT))],
    needs: &[],
};
static FQDN: Shape = Shape::Object {
    fields: &[
        ("matchName", &Shape::Text(|text, _| text.len() <= 255 && matches(&PATTERNS.dns_name, text))),
        ("matchPattern", &SERVER_NAME),
    ],
    needs: &[Need::ExactlyOne(&["matchName", "matchPattern"])],
};
static SERVICE: Shape = Shape::Object {
    fields: &[
        ("k8sService", &Shape::Object { fields: &[("namespace", &TEXT), ("serviceName", &TEXT)], needs: &[] }),
        (
            "k8sServiceSelector",
            &Shape::Object {
                fields: &[("namespace", &TEXT), ("selector", &SELECTOR)],
                needs: &[Need::All(&["selector"])],
            },
        ),
    ],
    needs: &[],
};
static PROVIDER_GROUP: Shape =
    Shape::Object { fields: &[("aws", &Shape::Object { fields: &[], needs: &[] })], needs: &[] };
static PROVIDER_GROUPS: Shape = list(&PROVIDER_GROUP);

/// The fields of an element, by direction and verdict.
macro_rules! element {
    ($($more:tt)*) => {
        Shape::Object { fields: &[("icmps", &ICMPS), $($more)*], needs: &[] }
    };
}

static INGRESS: Shape = element!(
    ("fromEndpoints", &SELECTORS),
    ("fromCIDR", &PREFIXES),
    ("fromCIDRSet", &CIDR_RULES),
    ("fromEntities", &ENTITY_LIST),
    ("fromGroups", &PROVIDER_GROUPS),
    ("fromNodes", &SELECTORS),
    ("fromRequires", &NOTHING),
    ("toPorts", &PORT_RULES),
    ("authentication", &AUTHENTICATION)
);
static INGRESS_DENY: Shape = element!(
    ("fromEndpoints", &SELECTORS),
    ("fromCIDR", &PREFIXES),
    ("fromCIDRSet", &CIDR_RULES),
    ("fromEntities", &ENTITY_LIST),
    ("fromGroups", &PROVIDER_GROUPS),
    ("fromNodes", &SELECTORS),
    ("fromRequires", &NOTHING),
    ("toPorts", &DENY_PORT_RULES)
);
static EGRESS: Shape = element!(
    ("toEndpoints", &SELECTORS),
    ("toCIDR", &PREFIXES),
    ("toCIDRSet", &CIDR_RULES),
    ("toEntities", &ENTITY_LIST),
    ("toServices", &list(&SERVICE)),
    ("toGroups", &PROVIDER_GROUPS),
    ("toFQDNs", &list(&FQDN)),
    ("toNodes", &SELECTORS),
    ("toRequires", &NOTHING),
    ("toPorts", &PORT_RULES),
    ("authentication", &AUTHENTICATION)
);
static EGRESS_DENY: Shape = element!(
    ("toEndpoints", &SELECTORS),
    ("toCIDR", &PREFIXES),
    ("toCIDRSet", &CIDR_RULES),
    ("toEntities", &ENTITY_LIST),
    ("toServices", &list(&SERVICE)),
    ("toGroups", &PROVIDER_GROUPS),
    ("toNodes", &SELECTORS),
    ("toRequires", &NOTHING),
    ("toPorts", &DENY_PORT_RULES)
);
static RULE: Shape = Shape::Object {
    fields: &[
        ("endpointSelector", &SELECTOR),
        ("nodeSelector", &SELECTOR),
        ("ingress", &list(&INGRESS)),
        ("ingressDeny", &list(&INGRESS_DENY)),
        ("egress", &list(&EGRESS)),
        ("egressDeny", &list(&EGRESS_DENY)),
        (
            "enableDefaultDeny",
            &Shape::Object { fields: &[("ingress", &Shape::Bool), ("egress", &Shape::Bool)], needs: &[] },
        ),
        ("labels", &list(&RULE_LABEL)),
        ("description", &TEXT),
        ("log", &Shape::Object { fields: &[("value", &LOG_VALUE)], needs: &[] }),
    ],
    needs: &[
        Need::ExactlyOne(&["endpointSelector", "nodeSelector"]),
        Need::AtLeastOne(&["ingress", "ingressDeny", "egress", "egressDeny"]),
    ],
};
static RULE_LABEL: Shape =
    Shape::Object { fields: &[("key", &TEXT), ("source", &TEXT), ("value", &TEXT)], needs: &[Need::All(&["key"])] };
static LOG_VALUE: Shape = Shape::Text(|text, _| text.chars().count() <= 32 && !text.chars().any(char::is_control));
/// A policy.
pub(super) static OBJECT: Shape = Shape::Object { fields: &[("spec", &RULE), ("specs", &list(&RULE))], needs: &[] };

struct Patterns {
    value: Regex,
    group: Regex,
    port: Regex,
    icmp: Regex,
    dns_name: Regex,
    dns_pattern: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let compile = |pattern: &str| Regex::new(pattern).expect("a constant pattern that the tests compile");
    let names = [
        "EchoReply|DestinationUnreachable|Redirect|Echo|RouterAdvertisement|RouterSelection|TimeExceeded",
        "ParameterProblem|Timestamp|TimestampReply|Photuris|ExtendedEchoRequest|ExtendedEcho Reply|PacketTooBig",
        "EchoRequest|MulticastListenerQuery|MulticastListenerReport|MulticastListenerDone|RouterSolicitation",
        "NeighborSolicitation|NeighborAdvertisement|RedirectMessage|RouterRenumbering|ICMPNodeInformationQuery",
        "ICMPNodeInformationResponse|InverseNeighborDiscoverySolicitation|InverseNeighborDiscoveryAdvertisement",
        "HomeAgentAddressDiscoveryRequest|HomeAgentAddressDiscoveryReply|MobilePrefixSolicitation",
        "MobilePrefixAdvertisement|DuplicateAddressRequestCodeSuffix|DuplicateAddressConfirmationCodeSuffix",
    ];
    Patterns {
        value: compile("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"),
        group: compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
        // The first half is anchored at the start only, the second at the end only.
        port: compile("^[0-9]|[a-zA-Z](-?[a-zA-Z0-9])*$"),
        icmp: compile(&format!("^([0-9]|[1-9][0-9]|1[0-9]{{2}}|2[0-4][0-9]|25[0-5]|{})$", names.join("|"))),
        dns_name: compile("^([-a-zA-Z0-9_]+[.]?)+$"),
        dns_pattern: compile("^([-a-zA-Z0-9_*]+[.]?)+$"),
    }
});

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text)
}

/// As Go's net.ParseCIDR of old, which takes leading zeros in IPv4 addresses and in lengths
/// (kubernetes/utils:internal/third_party/forked/golang/net/ip.go).
fn is_prefix(text: &str) -> bool {
    let Some((address, length)) = text.rsplit_once('/') else { return false };
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let octets: Vec<&str> = address.split('.').map(without_zeros).collect();
    let length = without_zeros(length);
    [address, octets.join(".").as_str()].iter().any(|address| number::prefix(&format!("{address}/{length}")).is_some())
}

/// A number without leading zeros; what begins with something else stays as it is.
fn without_zeros(text: &str) -> &str {
    let digits = text.trim_start_matches('0');
    if digits.starts_with(|first: char| first.is_ascii_digit()) || text.is_empty() {
        digits
    } else {
        // A zero by itself, or no number.
        text.strip_prefix('0').map_or(text, |_| &text[text.len() - digits.len() - 1..])
    }
}

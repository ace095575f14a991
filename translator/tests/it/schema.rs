//! The schema and the reader give the same answer, where a schema can give one.

use jsonschema::Validator;
use serde_json::Value;
use std::sync::LazyLock;
use translator::matrix::{SCHEMA, Settings, expand};
use translator::presets;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema without references to elsewhere")
});

fn json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What the schema says, as the places of what is wrong.
fn by_schema(text: &str) -> Vec<String> {
    VALIDATOR.iter_errors(&json(text)).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What the reader says, as codes.
fn by_reader(text: &str) -> Vec<String> {
    let settings = Settings { no_admin_path: true, ..Settings::default() };
    let (matrix, findings) = expand(text, "test", &settings);
    if matrix.is_some() {
        return Vec::new();
    }
    findings.iter().map(|finding| format!("{} {}: {}", finding.code.id, finding.path, finding.message)).collect()
}

fn agree(text: &str, good: bool) {
    let (schema, reader) = (by_schema(text), by_reader(text));
    assert_eq!(reader.is_empty(), good, "reader: {reader:?}\n{text}");
    assert_eq!(schema.is_empty(), good, "schema: {schema:?}\nreader: {reader:?}\n{text}");
}

/// A matrix with parameters, addons, peers, two roles, and these parts.
fn matrix(parts: &str, rows: &str) -> String {
    format!(
        "apiVersion: lifeline.dev/v1alpha1
kind: PortMatrix
metadata: {{name: test}}
spec:
  parameters:
    nets: {{type: cidrs, default: [10.0.0.0/8]}}
    port: {{type: port, default: 22}}
    ports: {{type: ports, default: [22, 30000-32767]}}
    flag: {{type: bool, default: true}}
    kind: {{type: enum, values: [vxlan, none], default: vxlan}}
    nics: {{type: strings, default: [eth0]}}
  addons: {{extra: {{default: true}}}}
  peers: {{admins: {{cidrs: $nets}}}}
  roles:
    cp: {{nodeSelector: {{matchExpressions: [{{key: cp, operator: Exists}}]}}}}
    worker: {{nodeSelector: {{matchExpressions: [{{key: cp, operator: DoesNotExist}}]}}}}
{}
  rows:
  - {{roles: all, ports: 22, from: admins}}
{rows}",
        parts.trim_matches('\n')
    )
}

#[test]
fn presets_are_valid() {
    for preset in presets::all() {
        let found = by_schema(preset.text);
        assert!(found.is_empty(), "{}: {found:#?}", preset.name);
    }
}

#[test]
fn rows_that_both_take() {
    for row in [
        "{roles: [cp, worker], ports: 22, from: any}",
        "{roles: cp, ports: [22, 2379-2380, \"6443\"], from: [nodes, pods, localhost, cp, admins, $nets, fd00::/8]}",
        "{roles: all, ports: $ports, protocol: [TCP, UDP, SCTP], from: 10.0.0.0/8}",
        "{roles: all, sourcePorts: 67, ports: 68, protocol: UDP, from: any}",
        "{roles: all, ports: 2379 - 2380, from: any}",
        "{roles: all, protocol: Any, from: nodes, optional: true}",
        "{roles: all, protocol: [IPIP, ESP, AH, GRE, VRRP, 89, \"103\"], from: nodes}",
        "{roles: all, protocol: 6, ports: 22, from: nodes}",
        "{roles: all, protocol: ICMP, icmp: [{type: 3, code: 4}, {type: 8}], from: any, family: IPv4}",
        "{roles: all, protocol: ICMPv6, icmp: {type: 128}, from: any}",
        "{roles: all, protocol: [ICMP, ICMPv6], from: any}",
        "{roles: all, ports: 53, protocol: [UDP, TCP], direction: egress, to: [services, any], flow: dns}",
        "{roles: all, ports: 22, from: any, except: [10.1.0.0/16, $nets], family: IPv4}",
        "{roles: all, ports: 22, from: any, interfaces: [eth0, $nics], action: deny, listen: node}",
        "{roles: all, ports: 22, from: any, interfaces: \"*\"}",
        "{roles: all, ports: [10248, 10249], listen: loopback, purpose: \"\"}",
        "{roles: all, protocol: UDP, from: any}",
        "{roles: all, ports: 22, from: any, when: {}}",
        "{roles: all, ports: 22, from: any, when: {addon: extra, param: flag}}",
        "{roles: all, ports: 22, from: any, when: {addon: [extra], param: [flag]}}",
        "{roles: all, ports: 22, from: any, when: {param: {flag: true, kind: [vxlan, none], port: 22}}}",
        "{roles: all, ports: 22, from: any, when: {not: {addon: extra}}}",
        "{roles: all, ports: 22, from: any, purpose: 22, source: 1.5, flow: admin-ssh}",
    ] {
        agree(&matrix("", &format!("  - {row}\n")), true);
    }
}

#[test]
fn rows_that_both_refuse() {
    for row in [
        "{ports: 22, from: any}",
        "{roles: [], ports: 22, from: any}",
        "{roles: Cp, ports: 22, from: any}",
        "{roles: all, ports: 22}",
        "{roles: all, from: any}",
        "{roles: all, port: 22, from: any}",
        "{roles: all, ports: 0, from: any}",
        "{roles: all, ports: 65536, from: any}",
        "{roles: all, ports: -1, from: any}",
        "{roles: all, ports: 1.5, from: any}",
        "{roles: all, ports: http, from: any}",
        "{roles: all, ports: \"22:23\", from: any}",
        "{roles: all, ports: 22-65536, from: any}",
        "{roles: all, ports: \"022\", from: any}",
        "{roles: all, ports: true, from: any}",
        "{roles: all, ports: [], from: any}",
        "{roles: all, ports: {first: 1}, from: any}",
        "{roles: all, ports: , from: any}",
        "{roles: all, ports: 22, from: []}",
        "{roles: all, ports: 22, from: services}",
        "{roles: all, ports: 22, from: [nodes, services]}",
        "{roles: all, ports: 22, from: 10.0.0.1}",
        "{roles: all, ports: 22, from: 10.0.0.0/33}",
        "{roles: all, ports: 22, from: 256.0.0.0/8}",
        "{roles: all, ports: 22, from: 010.0.0.0/8}",
        "{roles: all, ports: 22, from: 10.0.0.0/08}",
        "{roles: all, ports: 22, from: 10.0.0/8}",
        "{roles: all, ports: 22, from: fd00::/129}",
        "{roles: all, ports: 22, from: $Nets}",
        "{roles: all, ports: 22, from: Admins}",
        "{roles: all, ports: 22, to: any}",
        "{roles: all, ports: 22, from: any, to: any}",
        "{roles: all, ports: 22, direction: egress, from: any}",
        "{roles: all, ports: 22, direction: inbound, from: any}",
        "{roles: all, protocol: tcp, ports: 22, from: any}",
        "{roles: all, protocol: 256, from: any}",
        "{roles: all, protocol: [], from: any}",
        "{roles: all, protocol: ICMP, ports: 22, from: any}",
        "{roles: all, protocol: [TCP, ICMP], ports: 22, from: any}",
        "{roles: all, protocol: VRRP, sourcePorts: 22, from: any}",
        "{roles: all, protocol: [Any, TCP], from: any}",
        "{roles: all, protocol: TCP, icmp: [{type: 8}], from: any}",
        "{roles: all, protocol: [ICMP, ICMPv6], icmp: [{type: 8}], from: any}",
        "{roles: all, ports: 22, icmp: [{type: 8}], from: any}",
        "{roles: all, protocol: ICMP, icmp: [], from: any}",
        "{roles: all, protocol: ICMP, icmp: [{code: 4}], from: any}",
        "{roles: all, protocol: ICMP, icmp: [{type: 256}], from: any}",
        "{roles: all, protocol: ICMP, icmp: [{type: 8, name: ping}], from: any}",
        "{roles: all, protocol: ICMP, family: IPv6, from: any}",
        "{roles: all, protocol: [TCP, 58], family: IPv4, from: any}",
        "{roles: all, ports: 22, from: any, family: ipv4}",
        "{roles: all, ports: 22, from: any, except: [0.0.0.0/0]}",
        "{roles: all, ports: 22, from: any, except: nodes}",
        "{roles: all, ports: 22, from: any, action: reject}",
        "{roles: all, ports: 22, from: any, listen: loopback}",
        "{roles: all, ports: 22, interfaces: [lo], listen: loopback}",
        "{roles: all, ports: 22, from: any, listen: localhost}",
        "{roles: all, ports: 22, from: any, flow: ssh}",
        "{roles: all, ports: 22, from: any, optional: \"true\"}",
        "{roles: all, ports: 22, from: any, interfaces: []}",
        "{roles: all, ports: 22, from: any, interfaces: [\"*\", eth0]}",
        "{roles: all, ports: 22, from: any, interfaces: this-name-is-too-long}",
        "{roles: all, ports: 22, from: any, purpose: [a]}",
        "{roles: all, ports: 22, from: any, when: cni}",
        "{roles: all, ports: 22, from: any, when: {os: linux}}",
        "{roles: all, ports: 22, from: any, when: {addon: []}}",
        "{roles: all, ports: 22, from: any, when: {param: {flag: []}}}",
        "{roles: all, ports: 22, from: any, when: {encapsulation: vxlna}}",
        "{roles: all, ports: 22, from: any, when: {family: [IPv4, v6]}}",
        "{roles: all, ports: 22, from: any, when: {not: [addon]}}",
        "[roles, all]",
        "text",
    ] {
        agree(&matrix("", &format!("  - {row}\n")), false);
    }
}

#[test]
fn parts_that_both_take() {
    for part in [
        "cluster: {}",
        "cluster: {distribution: rke2, cni: detect, encapsulation: $kind, features: [wireguard]}",
        "cluster: {apiServerPort: 443, kubeletPort: $port, hostedControlPlane: $flag, nodePorts: 30000-32767}",
        "cluster: {nodeCIDRs: $nets, podCIDRs: [10.1.0.0/16, fd00::/48], serviceCIDRs: []}",
        "enforcement: {}",
        "enforcement: {interfaces: $nics, established: allow, loopback: deny, dhcp: none, forward: enforce}",
        "enforcement: {ingress: {default: deny, log: {prefix: DROP_, rate: 10/min, level: warning}}}",
        "enforcement: {ingress: {default: allow}, egress: {default: deny, log: {}}}",
    ] {
        agree(&matrix(&format!("  {part}"), ""), true);
    }
}

#[test]
fn parts_that_both_refuse() {
    for part in [
        "cluster: []",
        "cluster: {name: x}",
        "cluster: {encapsulation: vxlna}",
        "cluster: {encapsulation: [vxlan]}",
        "cluster: {apiServerPort: [6443]}",
        "cluster: {apiServerPort: 1-2}",
        "cluster: {kubeletPort: 0}",
        "cluster: {hostedControlPlane: hosted}",
        "cluster: {nodeCIDRs: any}",
        "cluster: {podCIDRs: [10.0.0.0/8, ::/0]}",
        "cluster: {nodePorts: [1-2, 5-6]}",
        "enforcement: {interfaces: []}",
        "enforcement: {interfaces: [\"*\", eth0]}",
        "enforcement: {interfaces: [a/b]}",
        "enforcement: {established: deny}",
        "enforcement: {loopback: true}",
        "enforcement: {dhcp: server}",
        "enforcement: {forward: yes-please}",
        "enforcement: {ingress: deny}",
        "enforcement: {ingress: {}}",
        "enforcement: {ingress: {default: drop}}",
        "enforcement: {ingress: {default: allow, log: {}}}",
        "enforcement: {ingress: {default: deny, log: true}}",
        "enforcement: {egress: {default: deny, log: {file: x}}}",
        "other: {}",
    ] {
        agree(&matrix(&format!("  {part}"), ""), false);
    }
}

/// A small matrix, with a part that replaces one of its own.
fn small(name: &str, part: &str) -> String {
    let mut text = String::from("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: test}\nspec:\n");
    let parts = [
        ("roles", "roles: {node: {nodeSelector: {}}}"),
        ("rows", "rows: [{roles: all, ports: 22, from: any}]"),
        ("parameters", ""),
        ("addons", ""),
        ("peers", ""),
    ];
    for (other, default) in parts {
        let part = if other == name { part } else { default };
        if !part.is_empty() {
            text.push_str(&format!("  {part}\n"));
        }
    }
    text
}

#[test]
fn names_selectors_peers_and_parameters_that_both_take() {
    for (name, part) in [
        ("parameters", "parameters: {a: {type: cidr, default: any}, b: {type: string, default: x, note: 1}}"),
        ("parameters", "parameters: {a: {type: cidrs, detect: nodeInternalIPs}, b: {type: strings, default: []}}"),
        ("parameters", "parameters: {a: {type: ports, default: []}, b: {type: ports, required: false}}"),
        ("parameters", "parameters: {a: {type: enum, values: [x, 1], default: 1}, b: {type: port, default: \"22\"}}"),
        ("addons", "addons: {some-addon: {default: true, note: text}}"),
        ("peers", "peers: {a: {cidrs: 10.0.0.0/8, roles: node, fqdns: example.com}, b: {peers: [a]}}"),
        ("peers", "peers: {a: {pods: {}}, b: {nodes: {nodeSelector: {matchLabels: {a.b/c: \"\"}}}}}"),
        ("peers", "peers: {a: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: \"1\"}}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: []}}}"),
        (
            "roles",
            "roles: {a: {nodeSelector: {matchExpressions: [{key: x, operator: NotIn, values: [a, \"\"]}]}}, \
          b: {nodeSelector: {matchExpressions: [{key: x, operator: In, values: [a, \"\"]}]}}}",
        ),
    ] {
        agree(&small(name, part), true);
    }
}

#[test]
fn names_selectors_peers_and_parameters_that_both_refuse() {
    for (name, part) in [
        ("parameters", "parameters: {A: {type: bool, default: true}}"),
        ("parameters", "parameters: {a-b: {type: bool, default: true}}"),
        ("parameters", "parameters: {a: {default: true}}"),
        ("parameters", "parameters: {a: {type: number, default: 1}}"),
        ("parameters", "parameters: {a: {type: bool, default: \"true\"}}"),
        ("parameters", "parameters: {a: {type: bool, default: true, values: [true]}}"),
        ("parameters", "parameters: {a: {type: bool, default: true, detect: outputCNI}}"),
        ("parameters", "parameters: {a: {type: enum, default: x}}"),
        ("parameters", "parameters: {a: {type: enum, values: [], default: x}}"),
        ("parameters", "parameters: {a: {type: cidr, default: [10.0.0.0/8]}}"),
        ("parameters", "parameters: {a: {type: cidrs, default: [10.0.0.0]}}"),
        ("parameters", "parameters: {a: {type: port, default: 1-2}}"),
        ("parameters", "parameters: {a: {type: port, default: [1]}}"),
        ("parameters", "parameters: {a: {type: ports, default: [0]}}"),
        ("parameters", "parameters: {a: {type: string, default: [x]}}"),
        ("parameters", "parameters: {a: {type: string, default: }}"),
        ("parameters", "parameters: {a: {type: cidrs, detect: everything}}"),
        ("parameters", "parameters: {a: {type: cidrs, default: [], optional: true}}"),
        ("addons", "addons: {a: {}}"),
        ("addons", "addons: {a: true}"),
        ("addons", "addons: {a: {default: maybe}}"),
        ("peers", "peers: {pods: {cidrs: 10.0.0.0/8}}"),
        ("peers", "peers: {A: {cidrs: 10.0.0.0/8}}"),
        ("peers", "peers: {a: {}}"),
        ("peers", "peers: {a: {cidr: 10.0.0.0/8}}"),
        ("peers", "peers: {a: {nodes: {}}}"),
        ("peers", "peers: {a: {pods: {selector: {}}}}"),
        ("peers", "peers: {a: {roles: [Node]}}"),
        ("roles", "roles: {}"),
        ("roles", "roles: {all: {nodeSelector: {}}}"),
        ("roles", "roles: {this-name-is-a-little-longer-than-30: {nodeSelector: {}}}"),
        ("roles", "roles: {a: {}}"),
        ("roles", "roles: {a: {nodeSelector: }}"),
        ("roles", "roles: {a: {nodeSelector: {labels: {}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchLabels: {b: true}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchLabels: {b: 1.5}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchLabels: {b: -x}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchLabels: {a/b/c: x}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: {key: b, operator: Exists}}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: [{key: b, operator: In}]}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: [{key: b, operator: In, values: []}]}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: [{key: b, operator: In, values: [1]}]}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: [{key: b, operator: Exists, values: [x]}]}}}"),
        ("roles", "roles: {a: {nodeSelector: {matchExpressions: [{key: b, operator: exists}]}}}"),
        ("rows", "rows: []"),
        ("rows", "rows: {}"),
        ("rows", ""),
        ("roles", ""),
    ] {
        agree(&small(name, part), false);
    }
}

#[test]
fn the_head_of_a_matrix() {
    let rest = "spec: {roles: {node: {nodeSelector: {}}}, rows: [{roles: all, ports: 22, from: any}]}";
    for (head, good) in [
        (
            "apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: a-1, labels: {a: b}, annotations: {a: 1}}",
            true,
        ),
        ("apiVersion: lifeline.dev/v1\nkind: PortMatrix\nmetadata: {name: a}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: Matrix\nmetadata: {name: a}", false),
        ("kind: PortMatrix\nmetadata: {name: a}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: A}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: true}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: a-}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: a, namespace: b}", false),
        ("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: a}\nstatus: {}", false),
    ] {
        agree(&format!("{head}\n{rest}\n"), good);
    }
}

#[test]
fn every_field_is_described() {
    fn walk(value: &Value, path: &str, missing: &mut Vec<String>) {
        let Value::Object(object) = value else { return };
        for (name, value) in object {
            if name == "properties" && object.contains_key("additionalProperties") {
                for (field, schema) in value.as_object().into_iter().flatten() {
                    let described = schema.get("description").is_some() || schema.get("$ref").is_some();
                    if !described {
                        missing.push(format!("{path}.{field}"));
                    }
                }
            }
            walk(value, &format!("{path}.{name}"), missing);
        }
    }
    let mut missing = Vec::new();
    walk(&serde_json::from_str(SCHEMA).expect("JSON"), "", &mut missing);
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_words_are_those_of_the_reader() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let flows = &schema["$defs"]["row"]["properties"]["flow"]["enum"];
    assert_eq!(flows, &serde_json::json!(translator::matrix::flows()));
    assert_eq!(schema["properties"]["apiVersion"]["const"], translator::matrix::API_VERSION);
    assert_eq!(schema["properties"]["kind"]["const"], translator::matrix::KIND);
}

//! Node lists for benchmarks.

use std::fmt::Write as _;

/// A node list as kubectl prints it, with a third of the nodes in the control plane.
pub(crate) fn nodes(count: usize) -> String {
    let mut text = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for index in 0..count {
        let role = if index % 3 == 0 { r#""node-role.kubernetes.io/control-plane":"true","# } else { "" };
        let _ = write!(
            text,
            r#"{}{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-{index:05}","labels":{{{role}"kubernetes.io/hostname":"node-{index:05}","kubernetes.io/os":"linux","kubernetes.io/arch":"amd64"}}}},"status":{{"addresses":[{{"type":"InternalIP","address":"10.{}.{}.{}"}},{{"type":"Hostname","address":"node-{index:05}"}}]}}}}"#,
            if index == 0 { "" } else { "," },
            index / 62500,
            index / 250 % 250,
            index % 250 + 1
        );
    }
    text.push_str("]}");
    text
}

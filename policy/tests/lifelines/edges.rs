//! Ways of setting clusters up that the recorded ones do not have.

use policy::lifeline::config::Config;
use policy::lifeline::detect::{Detected, detect, reads};
use policy::snapshot::{Loader, Snapshot};

use crate::rows::{flows, missing};

/// A node; `marks` are further lines of its metadata.
pub(crate) fn node(name: &str, address: &str, version: &str, os: &str, marks: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, {marks}}}\nstatus:\n  \
         addresses: [{{type: InternalIP, address: \"{address}\"}}]\n  \
         nodeInfo: {{kubeletVersion: {version}, osImage: \"{os}\"}}\n"
    )
}

/// One control-plane node and two workers of no known distribution.
pub(crate) fn plain() -> String {
    let control = "labels: {node-role.kubernetes.io/control-plane: \"\"}";
    node("cp", "10.0.0.1", "v1.34.1", "Linux", control)
        + &node("w-1", "10.0.0.2", "v1.34.1", "Linux", "labels: {pool: main}")
        + &node("w-2", "10.0.0.3", "v1.34.1", "Linux", "labels: {pool: test}")
}

pub(crate) fn load(text: &str) -> Snapshot {
    let mut loader = Loader::default();
    loader.read("test.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    loader.finish().snapshot
}

/// Rows of one lifeline, without its id.
fn of(id: &str, text: &str) -> Vec<String> {
    let snapshot = load(text);
    let begins = format!("{id} | ");
    let rows = flows(&detect(&snapshot, &Config::default()), &snapshot);
    rows.iter().filter_map(|row| row.strip_prefix(&begins)).map(str::to_owned).collect()
}

/// Parameters that one lifeline lacks, with how bad that is.
fn lacks(id: &str, text: &str) -> Vec<String> {
    let begins = format!("{id} | ");
    let rows = missing(&detect(&load(text), &Config::default()));
    rows.iter().filter_map(|row| row.strip_prefix(&begins)).map(str::to_owned).collect()
}

fn config_map(name: &str, data: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: kube-system}}\ndata: {data}\n")
}

fn daemon_set(name: &str, container: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: kube-system}}\nspec: \
         {{template: {{spec: {{containers: [{{name: {container}, image: \"x:v3.31.0\"{rest}}}]}}}}}}\n"
    )
}

fn pod(name: &str, labels: &str, node: &str, address: &str, host: bool, args: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: kube-system, labels: {labels}}}\nspec: \
         {{nodeName: {node}, hostNetwork: {host}, containers: [{{name: c, args: {args}}}]}}\nstatus: \
         {{phase: Running, podIPs: [{{ip: {address}}}]}}\n"
    )
}

#[test]
fn supervisors_differ_by_distribution() {
    let cluster = |version: &str, os: &str, mark: &str| {
        let control = format!("labels: {{node-role.kubernetes.io/control-plane: \"\"{mark}}}");
        node("cp", "10.0.0.1", version, os, &control) + &node("w", "10.0.0.2", version, os, "labels: {}")
    };
    let row = |text: String| of("supervisor", &text);
    assert_eq!(
        row(cluster("v1.34.1", "Linux", ", node.openshift.io/os_id: rhcos")),
        ["every node | cp | TCP/22623-22624"]
    );
    assert_eq!(row(cluster("v1.34.1", "Linux", ", kops.k8s.io/instancegroup: cp")), ["every node | cp | TCP/3988"]);
    assert_eq!(row(cluster("v1.34.1", "Linux", ", microk8s.io/cluster: \"true\"")), ["every node | cp | TCP/25000"]);
    assert_eq!(row(cluster("v1.34.1+k0s.0", "Linux", "")), [] as [&str; 0]);
    assert_eq!(row(cluster("v1.34.1", "Linux", "")), [] as [&str; 0]);
    assert_eq!(lacks("supervisor", &cluster("v1.34.1", "Linux", "")), ["major | distribution"]);
}

#[test]
fn stores_of_kops_and_microk8s_are_elsewhere() {
    let mark = |mark: &str| format!("labels: {{node-role.kubernetes.io/control-plane: \"\", {mark}}}");
    let two = |label: &str| {
        node("a", "10.0.0.1", "v1.34.1", "Linux", &mark(label))
            + &node("b", "10.0.0.2", "v1.34.1", "Linux", &mark(label))
    };
    let kops = two("kops.k8s.io/instancegroup: cp");
    assert_eq!(
        of("etcd-client", &kops),
        ["every node | every node | TCP/4001 TCP/4002", "every node | itself | TCP/4001 TCP/4002"]
    );
    assert_eq!(of("etcd-peer", &kops), ["every node | every node | TCP/2380 TCP/2381"]);
    assert_eq!(of("kube-apiserver", &kops)[0], "every node | every node | TCP/443");
    let microk8s = two("microk8s.io/cluster: \"true\"");
    assert_eq!(of("etcd-client", &microk8s), [] as [&str; 0]);
    assert_eq!(of("etcd-peer", &microk8s), ["every node | every node | TCP/19001"]);
    assert_eq!(of("kube-apiserver", &microk8s)[0], "every node | every node | TCP/16443");
}

#[test]
fn an_etcd_outside_the_cluster_is_told_by_the_api_server() {
    let server = pod(
        "kube-apiserver-cp",
        "{}",
        "cp",
        "10.0.0.1",
        true,
        "[--etcd-servers, \"https://10.9.0.1:2379,https://[fd00::9]:2379\", --secure-port=7443]",
    );
    let text = plain() + &server;
    assert_eq!(of("etcd-client", &text), ["cp | etcd: 10.9.0.1/32 | TCP/2379", "cp | etcd: fd00::9/128 | TCP/2379"]);
    assert_eq!(of("kube-apiserver", &text), ["cp | itself | TCP/7443", "every node | cp | TCP/7443"]);
    assert_eq!(lacks("etcd-client", &plain()), ["major | etcdServers"]);
}

#[test]
fn kubelets_may_listen_elsewhere() {
    let other = "apiVersion: v1\nkind: Node\nmetadata: {name: w-3}\nstatus:\n  addresses: [{type: InternalIP, \
                 address: 10.0.0.4}]\n  daemonEndpoints: {kubeletEndpoint: {Port: 10350}}\n";
    let text = format!("{}---\n{other}", plain());
    assert_eq!(
        of("kubelet-api", &text),
        ["cp | cp w-1 w-2 | TCP/10250", "cp | itself | TCP/10250", "cp | w-3 | TCP/10350"]
    );
}

#[test]
fn hosted_control_planes_dial_through_konnectivity() {
    let gke =
        |name: &str, address: &str| node(name, address, "v1.34.1-gke.1829001", "Container-Optimized OS", "labels: {}");
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: kubernetes, namespace: \
                 default, labels: {kubernetes.io/service-name: kubernetes}}\naddressType: IPv4\nendpoints: \
                 [{addresses: [172.16.0.2]}]\nports: [{port: 443}]\n";
    let nodes = gke("a", "10.0.0.1") + &gke("b", "10.0.0.2") + slice;
    assert_eq!(lacks("kubelet-api", &nodes), ["blocker | apiServerSources"]);
    let agent = |args: &str| nodes.clone() + &pod("konnectivity-agent-7b9-x2", "{}", "a", "10.4.0.9", false, args);
    let text = agent("[--proxy-server-host=203.0.113.5, --proxy-server-port=8132]");
    assert_eq!(lacks("kubelet-api", &text), [] as [&str; 0]);
    assert_eq!(of("kubelet-api", &text), ["konnectivity agents: 10.4.0.9/32 | every node | TCP/10250"]);
    // Between a pod and a host outside, no host policy decides.
    assert_eq!(of("exec-tunnel", &text), [] as [&str; 0]);
    assert_eq!(lacks("exec-tunnel", &agent("[--proxy-server-host=konn.example.com]")), ["major | konnectivityServers"]);
    let host =
        nodes.clone() + &pod("konnectivity-agent-x2", "{}", "a", "10.0.0.1", true, "[--proxy-server-host=203.0.113.5]");
    assert_eq!(of("exec-tunnel", &host), ["a | konnectivity server: 203.0.113.5/32 | TCP/8132"]);
}

#[test]
fn k3s_can_do_without_its_tunnel() {
    let control = |args: &str| {
        format!(
            "labels: {{node-role.kubernetes.io/control-plane: \"true\"}}, annotations: {{k3s.io/node-args: '{args}'}}"
        )
    };
    let cluster = |args: &str| {
        node("s", "10.0.0.1", "v1.34.1+k3s1", "Linux", &control(args))
            + &node("a", "10.0.0.2", "v1.34.1+k3s1", "Linux", "labels: {}")
    };
    assert_eq!(of("exec-tunnel", &cluster("[\"server\"]")), ["every node | s | TCP/6443"]);
    let off = cluster("[\"server\",\"--egress-selector-mode\",\"disabled\"]");
    assert_eq!(of("exec-tunnel", &off), [] as [&str; 0]);
    assert_eq!(of("kubelet-api", &off), ["s | every node | TCP/10250", "s | itself | TCP/10250"]);
    // Without embedded etcd the store is a database on the server, or one that nobody asks etcd's ports of.
    assert_eq!(of("etcd-client", &off), [] as [&str; 0]);
    assert_eq!(lacks("etcd-client", &off), [] as [&str; 0]);
}

#[test]
fn overlays_are_as_their_cni_is_set() {
    let row = |more: String| of("overlay", &(plain() + &more));
    let flannel = |conf: &str| config_map("kube-flannel-cfg", &format!("{{net-conf.json: '{conf}'}}"));
    let every = |traffic: &str| vec![format!("every node | every node | {traffic}")];
    assert_eq!(row(flannel(r#"{"Backend": {"Type": "vxlan", "Port": 4789}}"#)), every("UDP/4789"));
    assert_eq!(row(flannel(r#"{"Backend": {"Type": "wireguard"}}"#)), every("UDP/51820 UDP/51821"));
    assert_eq!(row(flannel(r#"{"Backend": {"Type": "ipsec"}}"#)), every("ESP UDP/500 UDP/4500"));
    assert_eq!(row(flannel(r#"{"Backend": {"Type": "host-gw"}}"#)), [] as [&str; 0]);
    assert_eq!(row(daemon_set("kube-ovn-cni", "cni-server", "")), every("UDP/6081"));
    assert_eq!(row(daemon_set("ovnkube-node", "ovnkube-controller", "")), every("UDP/6081"));
    assert_eq!(row(daemon_set("kube-router", "kube-router", "")), every("IPIP"));
    assert_eq!(row(daemon_set("antrea-agent", "antrea-agent", "")), every("UDP/6081"));
    let antrea =
        config_map("antrea-config", "{antrea-agent.conf: \"tunnelType: gre\\ntrafficEncryptionMode: wireGuard\"}");
    assert_eq!(row(daemon_set("antrea-agent", "antrea-agent", "") + &antrea), every("GRE UDP/51820"));
    assert_eq!(row(config_map("cilium-config", "{routing-mode: native}")), [] as [&str; 0]);
    assert_eq!(
        row(config_map("cilium-config", "{tunnel-port: \"8473\", enable-ipsec: \"true\"}")),
        every("UDP/8473 ESP")
    );
    assert_eq!(row(String::new()), [] as [&str; 0]);
}

#[test]
fn an_unknown_overlay_is_missed_and_a_known_lack_of_one_is_not() {
    let lack = |more: String| lacks("overlay", &(plain() + &more));
    assert_eq!(lack(String::new()), ["blocker | overlay"]);
    assert_eq!(lack(config_map("cilium-config", "{routing-mode: native}")), [] as [&str; 0]);
    assert_eq!(lack(daemon_set("aws-node", "aws-node", "")), [] as [&str; 0]);
    // Calico that only enforces policies says nothing of who carries pods.
    assert_eq!(lack(daemon_set("calico-node", "calico-node", "")), ["blocker | overlay"]);
}

#[test]
fn felix_may_be_set_by_node_and_by_environment() {
    let felix = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: crd.projectcalico.org/v1\nkind: FelixConfiguration\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let text = plain()
        + &daemon_set("calico-node", "calico-node", ", env: [{name: FELIX_WIREGUARDENABLED, value: \"true\"}]")
        + &felix("default", "{vxlanEnabled: true, vxlanPort: 4790}")
        + &felix("node.w-2", "{vxlanEnabled: true, vxlanPort: 4791}");
    assert_eq!(
        of("overlay", &text),
        ["every node | cp w-1 | UDP/4790 UDP/51820", "every node | w-2 | UDP/4791 UDP/51820"]
    );
}

#[test]
fn bgp_peers_are_nodes_and_routers() {
    let calico = |kind: &str, name: &str, spec: &str| {
        format!("---\napiVersion: crd.projectcalico.org/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    };
    let base =
        plain() + &daemon_set("calico-node", "calico-node", ", env: [{name: CALICO_NETWORKING_BACKEND, value: bird}]");
    assert_eq!(of("bgp", &base), ["every node | every node | TCP/179"]);
    let peers = base
        + &calico("BGPConfiguration", "default", "{nodeToNodeMeshEnabled: false, listenPort: 1790}")
        + &calico("BGPPeer", "tor", "{nodeSelector: \"pool == 'main'\", peerIP: \"10.0.9.1:1791\"}")
        + &calico("BGPPeer", "reflector", "{peerSelector: \"!has(pool)\"}");
    let expected = [
        "cp | every node | TCP/1790",
        "every node | cp | TCP/1790",
        "router: 10.0.9.1/32 | w-1 | TCP/1790",
        "w-1 | router: 10.0.9.1/32 | TCP/1791",
    ];
    assert_eq!(of("bgp", &peers), expected);
    let hidden = plain()
        + &daemon_set(
            "calico-node",
            "calico-node",
            ", env: [{name: CALICO_NETWORKING_BACKEND, valueFrom: {configMapKeyRef: {name: x, key: y}}}]",
        );
    assert_eq!((of("bgp", &hidden).len(), lacks("bgp", &hidden)), (0, vec!["major | bgpPeers".to_owned()]));
    let metallb = "---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: r, namespace: metallb-system}\nspec: \
                   {peerAddress: 10.0.9.2, nodeSelectors: [{matchLabels: {pool: main}}]}\n";
    assert_eq!(of("bgp", &(plain() + metallb)), ["w-1 | router: 10.0.9.2/32 | TCP/179"]);
}

#[test]
fn webhooks_are_called_by_name_address_and_service() {
    let webhook = |client: &str| {
        format!(
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {{name: m}}\n\
             webhooks: [{{name: a.b.c, clientConfig: {client}}}]\n"
        )
    };
    let row = |client: &str| of("webhook-path", &(plain() + &webhook(client)));
    assert_eq!(row("{url: \"https://10.0.0.2:9443/x\"}"), ["cp | w-1 | TCP/9443"]);
    assert_eq!(row("{url: \"https://10.0.0.1:9443/x\"}"), ["cp | itself | TCP/9443"]);
    assert_eq!(row("{url: \"https://198.51.100.7/x\"}"), ["cp | webhook: 198.51.100.7/32 | TCP/443"]);
    let lack = |client: &str| lacks("webhook-path", &(plain() + &webhook(client)));
    assert_eq!(lack("{url: \"https://hook.example.com/x\"}"), ["major | webhookAddresses"]);
    assert_eq!(lack("{service: {namespace: n, name: s}}"), ["major | webhookAddresses"]);
}

#[test]
fn addresses_of_the_api_server_may_be_virtual() {
    let vip = daemon_set(
        "kube-vip-ds",
        "kube-vip",
        ", env: [{name: cp_enable, value: \"true\"}, {name: address, value: 10.0.0.100}, {name: port, value: \"6443\"}]",
    );
    assert!(
        of("kube-apiserver", &(plain() + &vip))
            .contains(&"every node | API server: 10.0.0.100/32 | TCP/6443".to_owned())
    );
    let named =
        config_map("cluster-info", "{kubeconfig: \"clusters: [{cluster: {server: 'https://api.example.com:443'}}]\"}");
    assert_eq!(lacks("kube-apiserver", &(plain() + &named)), ["major | adminCIDRs", "major | apiServerAddresses"]);
}

#[test]
fn volumes_and_virtual_routers_are_seen() {
    let volume = |name: &str, source: &str| {
        format!("---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec: {{{source}}}\n")
    };
    let text = plain()
        + &volume("a", "nfs: {server: 10.0.8.1, path: /}")
        + &volume("b", "iscsi: {targetPortal: \"10.0.8.2:3261\", iqn: x, lun: 0}")
        + &volume("c", "nfs: {server: nas.example.com, path: /}");
    assert_eq!(
        of("storage", &text),
        ["every node | storage: 10.0.8.1/32 | TCP/2049", "every node | storage: 10.0.8.2/32 | TCP/3261"]
    );
    assert_eq!(lacks("storage", &text), ["major | storageServers"]);
    let keepalived = pod("keepalived-a", "{}", "w-1", "10.0.0.2", true, "[]")
        + &pod("keepalived-b", "{}", "w-2", "10.0.0.3", true, "[]");
    assert_eq!(
        of("vip", &(plain() + &keepalived)),
        ["w-1 w-2 | VRRP group: 224.0.0.18/32 | VRRP", "w-1 w-2 | w-1 w-2 | VRRP"]
    );
}

#[test]
fn an_empty_snapshot_has_no_lifelines_and_says_what_is_missing() {
    let detected: Detected = detect(&Snapshot::default(), &Config::default());
    assert_eq!(detected.lifelines, []);
    assert!(detected.missing.iter().any(|it| it.id == "kube-apiserver" && it.parameter == "apiServerAddresses"));
}

#[test]
fn policies_tell_of_no_lifeline() {
    let base = load(&plain());
    let before = detect(&base, &Config::default());
    let kinds = ["GlobalNetworkPolicy", "GlobalNetworkSet", "HostEndpoint", "KubeControllersConfiguration", "Tier"];
    let calico = kinds.map(|kind| ("crd.projectcalico.org/v1", kind));
    let cilium = ["CiliumCIDRGroup", "CiliumClusterwideNetworkPolicy"].map(|kind| ("cilium.io/v2", kind));
    for (version, kind) in calico.into_iter().chain(cilium) {
        let text =
            format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{selector: all()}}\n");
        let with = load(&(plain() + &text));
        let key = with.objects.keys().next().expect("an object");
        assert!(!reads(key), "{key}");
        assert_eq!(detect(&with, &Config::default()), before, "{kind}");
    }
    let peer = load("apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata: {name: x}\n");
    assert!(reads(peer.objects.keys().next().expect("an object")));
}

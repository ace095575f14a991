use serde_json::json;

use super::*;
use crate::snapshot::{Endpoint, NamedPort};

fn load(texts: &[(&str, &str)]) -> Loaded {
    let mut loader = Loader::default();
    for (file, text) in texts {
        loader.read(file, text).expect(file);
    }
    loader.finish()
}

fn error(text: &str) -> LoadError {
    Loader::default().read("bad.yaml", text).expect_err(text)
}

const NODE: &str = r#"{"apiVersion": "v1", "kind": "Node",
  "metadata": {"name": "w-1", "labels": {"a": "b"}, "annotations": null, "managedFields": [{}]},
  "spec": {"podCIDR": "10.42.1.0/24", "podCIDRs": ["10.42.1.0/24"], "providerID": "linode://1"},
  "status": {"addresses": [{"type": "Hostname", "address": "w-1"}, {"type": "InternalIP", "address": "10.0.0.1"},
    {"type": "InternalIP", "address": "fd00::1"}, {"type": "ExternalIP", "address": "203.0.113.1"}],
    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}, "nodeInfo": {"kubeletVersion": "v1.34.4+k3s1"}}}"#;

const POLICY: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec: {selector: all(), unheard: of}
";

#[test]
fn pods_of_one_workload_share_their_labels() {
    let pod = |name: &str, app: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": app}}});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [pod("b-2", "b"), pod("a-1", "a"), pod("b-1", "b")]});
    let snapshot = load(&[("pods", &list.to_string())]).snapshot;
    let [a, one, two] = &snapshot.cluster.pods[..] else { panic!("{:?}", snapshot.cluster.pods) };
    assert_eq!([a, one, two].map(|pod| pod.labels["app"].as_str()), ["a", "b", "b"]);
    assert!(std::ptr::eq(&*one.labels, &*two.labels), "labels of one workload are there twice");
}

#[test]
fn json_yaml_lists_and_streams_are_read_alike() {
    let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{NODE}]}}"#);
    let yaml_list = serde_saphyr::to_string(&serde_json::from_str::<Value>(&list).expect("JSON")).expect("YAML");
    let stream = format!("---\n---\n{NODE}\n---\n{POLICY}");
    let plain = load(&[("a", NODE), ("b", POLICY)]);
    assert_eq!(plain.snapshot.cluster.nodes[0].internal.len(), 2);
    assert_eq!(plain.snapshot.cluster.nodes[0].kubelet_port, Some(10250));
    assert_eq!(plain.snapshot.cluster.nodes[0].pod_cidrs, ["10.42.1.0/24"]);
    for other in
        [load(&[("a", &list), ("b", POLICY)]), load(&[("b", POLICY), ("a", &yaml_list)]), load(&[("-", &stream)])]
    {
        assert_eq!(other.snapshot.cluster, plain.snapshot.cluster);
        let values = |loaded: &Loaded| loaded.snapshot.objects.values().map(|it| it.value.clone()).collect::<Vec<_>>();
        assert_eq!(values(&other), values(&plain));
        assert_eq!((other.duplicates, other.ignored), (Vec::new(), BTreeMap::new()));
    }
}

#[test]
fn every_object_knows_where_it_stands() {
    let place = |loaded: &Loaded, name: &str| {
        let manifest = loaded.snapshot.objects.values().find(|manifest| manifest.key.name == name).expect(name);
        let source = manifest.source.clone().expect("a source");
        (source.document, source.item, source.line)
    };
    let second = POLICY.replace("name: p", "name: q");
    let loaded = load(&[("a", &format!("# why\n{POLICY}---\n{second}"))]);
    assert_eq!((place(&loaded, "p"), place(&loaded, "q")), ((0, None, 2), (1, None, 7)));
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\
                {\"apiVersion\": \"cilium.io/v2\", \"kind\": \"CiliumCIDRGroup\", \"metadata\": {\"name\": \"p\"}},\n\
                {\"apiVersion\": \"cilium.io/v2\", \"kind\": \"CiliumCIDRGroup\",\n\"metadata\": {\"name\": \"q\"}}]}";
    let loaded = load(&[("a", json)]);
    assert_eq!((place(&loaded, "p"), place(&loaded, "q")), ((0, Some(0), 2), (0, Some(1), 3)));
}

#[test]
fn groups_stand_side_by_side_and_versions_do_not() {
    let v1 = POLICY.replace("projectcalico.org/v3", "crd.projectcalico.org/v1");
    let loaded = load(&[("a", POLICY), ("b", &v1)]);
    assert_eq!((loaded.snapshot.objects.len(), loaded.duplicates.len()), (2, 0));
    let group = "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: g}\nspec: {externalCIDRs: []}\n";
    let loaded = load(&[("a", group), ("b", &group.replace("/v2", "/v2alpha1"))]);
    assert_eq!((loaded.snapshot.objects.len(), loaded.duplicates.len()), (1, 1));
    assert_eq!(loaded.snapshot.of("cilium.io", "CiliumCIDRGroup").next().expect("one").version, "v2alpha1");
    assert_eq!((loaded.duplicates[0].before.file.as_str(), loaded.duplicates[0].again.file.as_str()), ("a", "b"));
}

#[test]
fn of_two_nodes_of_one_name_the_last_counts() {
    let loaded = load(&[("a", NODE), ("b", &NODE.replace("10.0.0.1", "10.0.0.2"))]);
    assert_eq!(loaded.snapshot.cluster.nodes.len(), 1);
    assert_eq!(loaded.snapshot.cluster.nodes[0].internal[0].to_string(), "10.0.0.2");
    assert_eq!(loaded.duplicates[0].key.to_string(), "Node/w-1");
}

#[test]
fn what_no_verdict_reads_is_counted() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\n";
    let account = secret
        .replace("kind: Secret", "kind: ServiceAccount")
        .replace("namespace: n}", "namespace: n, labels: {a: b}}");
    let loaded = load(&[("a", secret), ("b", NODE), ("c", &account)]);
    assert_eq!(loaded.snapshot.cluster.service_accounts[0].labels.len(), 1);
    assert_eq!(loaded.ignored, [((String::new(), "Secret".to_owned()), 1)].into());
    assert_eq!(loaded.read[&(String::new(), "Node".to_owned())], 1);
}

#[test]
fn pods_keep_what_a_verdict_reads() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: a, namespace: n, labels: {app: a}, annotations: {cni.projectcalico.org/podIP: 10.42.0.7/32, note: x}}
spec:
  nodeName: w-1
  serviceAccountName: web
  containers:
  - {name: a, ports: [{name: http, containerPort: 8080}, {containerPort: 9090}]}
  - {name: b, ports: null}
status: {phase: Running, podIP: 10.42.0.7, podIPs: [{ip: 10.42.0.7}, {ip: fd00::7}]}
";
    let done = pod.replace("Running", "Succeeded").replace("name: a, namespace", "name: b, namespace");
    let loaded = load(&[("a", pod), ("b", &done)]);
    let [pod] = loaded.snapshot.cluster.pods.as_slice() else { panic!("one pod is left") };
    assert_eq!(pod.addresses.len(), 2);
    assert_eq!((pod.node.as_str(), pod.service_account.as_str(), pod.host_network), ("w-1", "web", false));
    assert_eq!(pod.ports, [NamedPort { name: "http".to_owned(), protocol: "TCP".to_owned(), port: 8080 }]);
    assert_eq!(pod.annotations.len(), 1);
}

#[test]
fn services_slices_and_agents_are_read() {
    let text = "apiVersion: v1
kind: Service
metadata: {name: s, namespace: n}
spec: {type: NodePort, clusterIP: 10.43.0.7, ports: [{port: 443, targetPort: web, nodePort: 30443}], selector: {app: a}}
---
apiVersion: v1
kind: Service
metadata: {name: h, namespace: n}
spec: {clusterIP: None, clusterIPs: [None]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.42.0.7], conditions: {}, nodeName: w-1}, {addresses: [10.42.0.8], conditions: {ready: false}}]
ports: [{name: '', port: 8443}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec: {template: {spec: {containers: [{name: calico-node, image: 'node:v3.31.0', command: [start], args: [-x], env: [
  {name: FELIX_BPFENABLED, value: 'true'}, {name: NODENAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: E}]}]}}}
";
    let cluster = load(&[("a", text)]).snapshot.cluster;
    assert!(cluster.services[0].cluster_addresses.is_empty(), "headless");
    assert_eq!(cluster.services[1].cluster_addresses[0].to_string(), "10.43.0.7");
    let port = &cluster.services[1].ports[0];
    assert_eq!((port.node_port, port.target_port.as_str(), port.protocol.as_str()), (Some(30443), "web", "TCP"));
    let ready = |endpoint: &Endpoint| (endpoint.ready, endpoint.node.clone());
    assert_eq!(
        cluster.slices[0].endpoints.iter().map(ready).collect::<Vec<_>>(),
        [(true, "w-1".to_owned()), (false, String::new())]
    );
    assert_eq!((cluster.slices[0].service.as_str(), cluster.slices[0].ports[0].port), ("s", Some(8443)));
    let agent = &cluster.daemon_sets[0].containers[0];
    assert_eq!(agent.env, [("E".to_owned(), String::new()), ("FELIX_BPFENABLED".to_owned(), "true".to_owned())].into());
    assert_eq!(
        (agent.env_from_elsewhere.as_slice(), agent.args.as_slice()),
        (&["NODENAME".to_owned()][..], &["start".to_owned(), "-x".to_owned()][..])
    );
}

#[test]
fn what_tells_of_lifelines_is_read() {
    let text = "apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver-cp, namespace: kube-system}
spec:
  nodeName: cp
  hostNetwork: true
  containers: [{name: a, command: [kube-apiserver], args: [--secure-port=6443], ports: [{containerPort: 6443}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  nodeName: cp
  containers: [{name: a, args: [--secret=x], ports: [{name: http, containerPort: 8080, hostPort: 80}, {containerPort: 9}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cattle-cluster-agent, namespace: cattle-system}
spec: {template: {spec: {containers: [{name: a, env: [{name: CATTLE_SERVER, value: 'https://r'}]}]}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: p}
spec: {iscsi: {targetPortal: '10.0.0.1:3260'}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: q}
spec: {csi: {driver: d}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.a}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: shop}
spec: {type: LoadBalancer, healthCheckNodePort: 31000, ports: []}
---
apiVersion: v1
kind: Node
metadata: {name: cp}
status: {nodeInfo: {osImage: Talos (v1.11.3)}}
";
    let loaded = load(&[("a", text)]);
    let cluster = &loaded.snapshot.cluster;
    let ports = |pod: &crate::snapshot::Pod| pod.host_ports.iter().map(|port| port.port).collect::<Vec<_>>();
    let [server, web] = cluster.pods.as_slice() else { panic!("two pods") };
    assert_eq!(
        (server.args.as_slice(), ports(server)),
        (&["kube-apiserver", "--secure-port=6443"].map(str::to_owned)[..], vec![6443])
    );
    // What a workload is started with is nobody's business.
    assert_eq!((web.args.len(), ports(web), web.host_ports[0].name.as_str()), (0, vec![80], "http"));
    assert_eq!(cluster.deployments[0].containers[0].env["CATTLE_SERVER"], "https://r");
    assert_eq!(
        (cluster.volumes[0].field.as_str(), cluster.volumes[0].server.as_str()),
        ("spec.iscsi.targetPortal", "10.0.0.1:3260")
    );
    assert_eq!(loaded.ignored, [((String::new(), "PersistentVolume".to_owned()), 1)].into());
    assert_eq!(loaded.snapshot.of("apiregistration.k8s.io", "APIService").count(), 1);
    assert_eq!(cluster.services[0].health_check_port, Some(31000));
    assert_eq!(cluster.nodes[0].os_image, "Talos (v1.11.3)");
}

#[test]
fn mistakes_say_where() {
    assert!(matches!(error("a: [1"), LoadError::Syntax { .. }));
    assert!(matches!(error("{\"a\": "), LoadError::Syntax { .. }));
    let missing = |text: &str| error(text).to_string();
    assert_eq!(missing("just text"), "bad.yaml:1: it is no Kubernetes object: `apiVersion` is missing");
    assert_eq!(
        missing("\n\napiVersion: v1\nkind: Node\n"),
        "bad.yaml:3: it is no Kubernetes object: `metadata.name` is missing"
    );
    let wrong = NODE.replace("\"InternalIP\", \"address\": \"10.0.0.1\"", "\"InternalIP\", \"address\": \"10.0.0\"");
    assert_eq!(missing(&wrong), "bad.yaml:1: Node/w-1: status.addresses: `10.0.0` is not an address");
    let wrong = NODE.replace("\"Port\": 10250", "\"Port\": 102500");
    assert_eq!(
        missing(&wrong),
        "bad.yaml:1: Node/w-1: status.daemonEndpoints.kubeletEndpoint.Port: invalid value: integer `102500`, expected u16"
    );
}

#[test]
fn bombs_and_depths_are_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    assert!(matches!(error(bomb), LoadError::Syntax { .. }));
    for open in ["[", "{\"a\":"] {
        assert!(matches!(error(&open.repeat(1_000_000)), LoadError::Syntax { .. }), "{open}");
    }
}

#[test]
fn many_changes_at_once_are_the_same_changes_one_after_another() {
    let pods: String = (0..9)
        .map(|at| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{at}, namespace: web}}\n"))
        .collect();
    let before = load(&[("a", NODE), ("b", POLICY), ("c", &pods)]).snapshot;
    let key = |group: &str, kind: &str, namespace: &str, name: &str| {
        let [group, kind, namespace, name] = [group, kind, namespace, name].map(str::to_owned);
        Key { group, kind, namespace, name }
    };
    let labelled = NODE.replace(r#""a": "b""#, r#""a": "c""#);
    let puts = manifests(
        "d",
        &format!("{labelled}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p10, namespace: web}}\n"),
    );
    let puts = puts.expect("manifests");
    let gone = [
        key("", "Pod", "web", "p3"),
        key("", "Pod", "web", "p7"),
        key("projectcalico.org", "GlobalNetworkPolicy", "", "p"),
    ];
    let steps = puts.iter().fold(before.clone(), |state, put| state.put(put).expect("well-formed"));
    let steps = gone.iter().fold(steps, |state, key| state.remove(key).expect("there"));
    let mut edits: BTreeMap<Key, Option<Manifest>> = puts.into_iter().map(|put| (put.key.clone(), Some(put))).collect();
    edits.extend(gone.map(|key| (key, None)));
    let mut together = before.clone();
    assert_eq!(together.update(edits), []);
    assert_eq!((&together.cluster, &together.objects), (&steps.cluster, &steps.objects));

    let mut swept = before.clone();
    swept.retain("", "Pod", |namespace, name| namespace == "web" && name == "p5");
    swept.retain("projectcalico.org", "GlobalNetworkPolicy", |_, _| false);
    assert_eq!((swept.cluster.pods.len(), swept.cluster.pods[0].name.as_str(), swept.objects.len()), (1, "p5", 0));
    assert_eq!((before.cluster.pods.len(), before.objects.len()), (9, 1));
    assert_eq!(swept.names("", "Pod"), [("web", "p5")]);
    assert_eq!(before.names("projectcalico.org", "GlobalNetworkPolicy"), [("", "p")]);
}

#[test]
fn one_that_cannot_be_read_among_many_is_left_out_and_named() {
    let texts = [NODE.to_owned(), NODE.replace("w-1", "w-2").replace("\"10.0.0.1\"", "\"10.0.0\"")];
    let nodes = texts.iter().flat_map(|text| manifests("d", text).expect("objects"));
    let mut snapshot = Snapshot::default();
    let mistakes = snapshot.update(nodes.map(|node| (node.key.clone(), Some(node))).collect());
    assert!(
        matches!(mistakes.as_slice(), [LoadError::Field { key, path, .. }] if key.name == "w-2" && path == "status.addresses")
    );
    assert_eq!(snapshot.cluster.nodes.len(), 1);
}

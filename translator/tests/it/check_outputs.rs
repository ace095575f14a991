//! `translate check -o sarif|junit|github`, as other programs read it.

use crate::common::{DENY, Folder, NODES, json, text};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// Names that every format has a reason to escape.
const AWKWARD: &str = "de,ny 100%<ü>.yaml";

fn folder() -> Folder {
    let poison = "apiVersion: crd.projectcalico.org/v1\nkind: FelixConfiguration\nmetadata: {name: default}\nspec:\n  \
                  failsafeInboundHostPorts:\n  - {protocol: sctp, port: 22}\n";
    let unknown = DENY.replace("  selector", "  flavour: sweet\n  selector");
    Folder::new(&[("nodes.yaml", NODES), (AWKWARD, DENY), ("poison.yaml", poison), ("unknown.yaml", &unknown)])
}

#[test]
fn sarif_has_rules_with_help_and_regions() {
    let folder = folder();
    let facts: Value = json(include_str!("../data/sarif/facts.json"));
    let facts = jsonschema::options().should_validate_formats(true).build(&facts).expect("a schema");
    for change in [AWKWARD, "poison.yaml", "unknown.yaml"] {
        let (code, out, err) = text(&folder.check(&["--snapshot", "nodes.yaml", "-f", change, "-o", "sarif"]));
        assert_eq!((code, err.as_str()), (1, ""), "{change}");
        let log = json(&out);
        let errors: Vec<String> =
            facts.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{change}: {errors:#?}\n{out}");
        let run = &log["runs"][0];
        let results = run["results"].as_array().expect("results");
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
            let rule = &run["tool"]["driver"]["rules"][index];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(rule["help"]["markdown"].as_str().expect("help").contains("**What to do**"), "{rule:#}");
        }
        let kubelet = results.iter().find(|result| result["ruleId"] == "cuts-kubelet-api");
        if change == AWKWARD {
            let place = &kubelet.expect("the kubelet")["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], "de%2Cny%20100%25%3C%C3%BC%3E.yaml");
            assert_eq!(place["region"], serde_json::json!({"startLine": 12, "startColumn": 5, "endColumn": 17}));
        }
        let wanted = match change {
            "poison.yaml" => "stops-agent",
            "unknown.yaml" => "cannot-prove",
            _ => "cuts-kubelet-api",
        };
        assert!(results.iter().any(|result| result["ruleId"] == wanted), "{change}: {out}");
        assert!(results.iter().all(|result| result["locations"][0].is_object()), "{change}: {out}");
    }
}

#[test]
fn sarif_of_a_safe_change_has_no_results() {
    let folder = folder();
    let (code, out, _) = text(&folder.check(&["--snapshot", "nodes.yaml", "-o", "sarif"]));
    let log = json(&out);
    assert_eq!((code, &log["runs"][0]["results"]), (0, &serde_json::json!([])));
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"], serde_json::json!([]));
    let notifications = &log["runs"][0]["invocations"][0]["toolExecutionNotifications"];
    let notifications = notifications.as_array().expect("notifications");
    let levels = |text: &str| -> Vec<&str> {
        let about =
            notifications.iter().filter(|one| one["message"]["text"].as_str().is_some_and(|it| it.contains(text)));
        about.filter_map(|one| one["level"].as_str()).collect()
    };
    assert_eq!((levels("dataplane iptables"), levels("not judged").first()), (vec!["note"], Some(&"warning")), "{out}");
}

#[test]
fn what_a_change_loses_is_said_in_every_format() {
    let set = |nets: &str| {
        format!("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: s}}\nspec: {{{nets}}}\n")
    };
    let folder =
        Folder::new(&[("nodes.yaml", NODES), ("s/set.yaml", &set("nets: [192.0.2.0/24]")), ("new.yaml", &set(""))]);
    for format in ["sarif", "junit", "github", "json", "text"] {
        let (code, out, _) =
            text(&folder.check(&["--snapshot", "nodes.yaml", "--snapshot", "s", "-f", "new.yaml", "-o", format]));
        assert!(
            code == 0 && out.contains("GlobalNetworkSet/s loses spec.nets: the state has it"),
            "{format}: {code} {out}"
        );
    }
}

#[test]
fn github_lines_are_commands_of_one_line_each() {
    let folder = folder();
    let (code, out, _) = text(&folder.check(&["--snapshot", "nodes.yaml", "-f", AWKWARD, "-o", "github"]));
    assert_eq!(code, 1);
    let wanted = "::error file=de%2Cny 100%25<ü>.yaml,line=12,col=5,endColumn=17,title=cuts-kubelet-api::kubelet-api is cut \
                  arriving: TCP 10.0.0.1:40000 -> 10.0.0.2:10250 from cp to w1";
    assert!(out.lines().any(|line| line.starts_with(wanted)), "{out}");
    let commands = ["::error ", "::warning ", "::notice "];
    assert!(out.lines().all(|line| commands.iter().any(|command| line.starts_with(command))), "{out}");
    let (code, out, err) = text(&folder.check(&["--snapshot", "nodes.yaml", "-o", "github"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.lines().all(|line| line.starts_with("::notice ")), "{out}");
    let taken = out.lines().find(|line| line.starts_with("::notice title=taken%2C because nothing tells::"));
    assert!(taken.is_some_and(|line| line.contains("%0Adataplane iptables")), "{out}");
}

#[test]
fn junit_has_one_case_for_each_lifeline() {
    let folder = folder();
    let (code, out, _) = text(&folder.check(&["--snapshot", "nodes.yaml", "-f", AWKWARD, "-o", "junit"]));
    assert_eq!(code, 1);
    let (suite, cases) = read(&out);
    let named = |name: &str| -> Vec<&Case> { cases.iter().filter(|case| case.name == name).collect() };
    let kubelet = named("kubelet-api");
    assert_eq!((kubelet.len(), kubelet[0].kind.as_str()), (1, "failure"), "{out}");
    assert!(kubelet[0].text.contains(&format!("{AWKWARD}:12:5\nkubelet-api is cut arriving")), "{:?}", kubelet[0].text);
    assert_eq!((named("icmp-pmtu").len(), named("icmp-pmtu")[0].kind.as_str()), (1, ""), "{out}");
    assert_eq!(named("admin-ssh")[0].kind, "skipped", "{out}");
    let failures = cases.iter().filter(|case| case.kind == "failure").count();
    assert_eq!(suite, (cases.len(), failures), "{out}");
}

/// A case of a report.
#[derive(Default)]
struct Case {
    name: String,
    /// `failure`, `skipped`, or nothing.
    kind: String,
    text: String,
}

/// The numbers of tests and failures that a report gives, and its cases.
fn read(text: &str) -> ((usize, usize), Vec<Case>) {
    let mut reader = Reader::from_str(text);
    let (mut totals, mut cases) = ((0, 0), Vec::<Case>::new());
    loop {
        match reader.read_event().expect("XML") {
            Event::Eof => return (totals, cases),
            Event::Start(element) | Event::Empty(element) => {
                let attribute = |name: &str| {
                    let found = element.try_get_attribute(name).expect("attributes");
                    found.map(|found| found.unescape_value().expect("text").into_owned()).unwrap_or_default()
                };
                match element.name().as_ref() {
                    b"testsuite" => {
                        totals = (
                            attribute("tests").parse().expect("tests"),
                            attribute("failures").parse().expect("failures"),
                        );
                    }
                    b"testcase" => cases.push(Case { name: attribute("name"), ..Case::default() }),
                    b"testsuites" => {}
                    kind => cases.last_mut().expect("a case").kind = String::from_utf8_lossy(kind).into_owned(),
                }
            }
            Event::Text(part) => {
                if let Some(case) = cases.last_mut().filter(|case| case.kind == "failure") {
                    case.text.push_str(&part.decode().expect("UTF-8"));
                }
            }
            Event::GeneralRef(name) => {
                let name = name.decode().expect("UTF-8");
                let text = quick_xml::escape::resolve_predefined_entity(&name).expect("an entity");
                cases.last_mut().expect("a case").text.push_str(text);
            }
            _ => {}
        }
    }
}

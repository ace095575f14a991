#!/usr/bin/env python3
"""The same Calico questions to network-config-analyzer and to `translate trace`, side by side.

    python3 -m venv venv && venv/bin/pip install network-config-analyzer==2.1.0
    cargo build -p translator
    python3 tests/side/nca.py venv/bin/nca target/debug/translate 50 differences.jsonl
    cargo run --release -p tests --bin fuzz-verdicts -- calico --replay differences.jsonl

Three nodes with a host endpoint each, one to three policies from a seed; may a node reach another, on some ports? Prints how
many answers are the same, how many are not, and one state for each kind of difference. Every question with two answers goes
into a file as cases, the packet leaving and the packet arriving, for which the second command asks Felix itself: where it
agrees with Lifeline about both, the analyzer is wrong. The analyzer knows neither failsafe
ports, profiles of host endpoints, tiers' default actions nor the addresses of host endpoints, so there are no failsafe ports
and no profiles here; prefixes are asked about apart, as `nets`.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

NODES = {"a": {"name": "a", "role": "x"}, "b": {"name": "b", "role": "y"}, "c": {"name": "c", "role": "y"}}
PORTS = [("TCP", 22), ("TCP", 6443), ("TCP", 10250), ("UDP", 53)]
SELECTORS = ["all()", "role == 'x'", "role == 'y'", "has(role)", "name in {'a', 'b'}", "!has(other)"]


def named(kind, name, spec, labels=None, version="projectcalico.org/v3"):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def rule(seed, ingress, nets):
    peer = "source" if ingress else "destination"
    made = {"action": seed.choice(["Allow", "Allow", "Deny", "Pass"])}
    if seed.random() < 0.6:
        if nets and seed.random() < 0.5:
            made[peer] = {"nets": seed.sample(["10.0.0.0/30", "10.0.0.2/32", "192.0.2.0/24"], 1)}
        else:
            made[peer] = {"selector": seed.choice(SELECTORS)}
    if seed.random() < 0.6:
        made["protocol"] = seed.choice(["TCP", "UDP"])
        made.setdefault("destination", {})["ports"] = seed.sample([22, 53, 6443, 10250, "6000:7000"], 2)
    return made


def policies(seed, nets):
    made = []
    for index in range(seed.randint(1, 3)):
        types = seed.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        spec = {"selector": seed.choice(SELECTORS), "order": index * 10, "types": types}
        for kind in types:
            spec[kind.lower()] = [rule(seed, kind == "Ingress", nets) for _ in range(seed.randint(1, 3))]
        made.append(named("GlobalNetworkPolicy", f"p{index}", spec))
    return made


def write(folder, name, items):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return str(path)


def ends(rule, side):
    """Nodes that a line is about; None where it is about addresses."""
    if f"{side}_pods" not in rule:
        return None
    found = set()
    for text in rule[f"{side}_pods"]:
        for part in text.split(", "):
            if part.strip("[]") in NODES:
                found.add(part.strip("[]"))
            elif part in ("*", "has(role)", "has(name)"):
                found |= set(NODES)
            elif "=" in part:
                label, _, value = part.partition("=")
                other = label.endswith("!")
                found |= {name for name, labels in NODES.items() if (labels.get(label.rstrip("!")) == value) != other}
            else:
                raise ValueError(f"unread: {text}")
    return found


def holds(connection, protocol, port):
    if connection == "All connections":
        return True
    if protocol not in connection.get("protocols", protocol).replace(" ", "").split(","):
        return False
    for part in connection.get("dst_ports", [port]):
        first, _, last = str(part).partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def analyzed(nca, folder, objects):
    """What the analyzer lets by: (from, to, protocol, port)."""
    files = []
    for name, items in objects.items():
        path = folder / f"nca-{name}.yaml"
        # It reads neither `List` nor several kinds in one list; documents it does.
        path.write_text("\n---\n".join(json.dumps(item) for item in items))
        files.append(str(path))
    told = subprocess.run(
        [nca, "--connectivity", files[0], "--pod_list", files[1], "--ns_list", files[2], "--output_format", "json"],
        capture_output=True, text=True, check=False)
    start = told.stdout.find("[\n")
    answer, _ = json.JSONDecoder().raw_decode(told.stdout[start:])
    passes = set()
    for line in answer[0]["explanation"][0]["rules"]:
        sources, targets = ends(line, "src"), ends(line, "dst")
        if sources is None or targets is None:
            continue
        for protocol, port in PORTS:
            if any(holds(connection, protocol, port) for connection in line["connection"]):
                passes |= {(one, other, protocol, port) for one in sources for other in targets}
    return passes


def packets(number, question, made, endpoints, felix):
    """A question as two cases of `verdicts`: the packet as it leaves a node, and as it comes to the other."""
    one, other, protocol, port = question
    addresses = {name: f"10.0.0.{index}" for index, name in enumerate(NODES, 1)}
    for node, way in ((one, "out"), (other, "in")):
        packet = {"dir": way, "iface": "eth0", "src": addresses[one], "dst": addresses[other],
                  "proto": {"TCP": 6, "UDP": 17}[protocol], "sport": 40000, "dport": port}
        yield {"id": f"nca {number} {one}-{other} {protocol}/{port} {way}", "node": node,
               "interfaces": [{"name": "eth0", "addrs": [addresses[node]]}],
               "objects": [felix, *endpoints, *made], "packets": [packet]}


def main(nca, translate, count, differences):
    endpoints = [named("HostEndpoint", name, {"node": name, "interfaceName": "*", "expectedIPs": [f"10.0.0.{index}"]}, labels)
                 for index, (name, labels) in enumerate(NODES.items(), 1)]
    nodes = [{**named("Node", name, {}, version="v1"),
              "status": {"addresses": [{"type": "InternalIP", "address": f"10.0.0.{index}"}]}}
             for index, name in enumerate(NODES, 1)]
    felix = named("FelixConfiguration", "default", {"failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": []})
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {}}}
    print("| peers | states | answers | same | only the analyzer lets by | only Lifeline lets by | not read |")
    print("|---|---|---|---|---|---|---|")
    shown, spent, cases = [], [0.0, 0.0], []
    for nets in (False, True):
        states = same = theirs = ours = unread = 0
        first = {}
        for number in range(count):
            made = policies(random.Random(number), nets)
            with tempfile.TemporaryDirectory() as text:
                folder = pathlib.Path(text)
                began = time.monotonic()
                try:
                    passes = analyzed(nca, folder, {"policies": made, "endpoints": endpoints, "spaces": [space]})
                except ValueError as error:
                    print(error, file=sys.stderr)
                    unread += 1
                    continue
                finally:
                    spent[0] += time.monotonic() - began
                states += 1
                state = write(folder, "state", nodes + [felix] + endpoints + made)
                for one in NODES:
                    for other in NODES:
                        if one == other:
                            continue
                        for protocol, port in PORTS:
                            began = time.monotonic()
                            told = subprocess.run(
                                [translate, "trace", "--snapshot", state, "--from", one, "--to", other, "--port",
                                 f"{protocol}/{port}"], capture_output=True, text=True, check=False)
                            spent[1] += time.monotonic() - began
                            if told.returncode not in (0, 1):
                                raise SystemExit(told.stderr)
                            question = (one, other, protocol, port)
                            answers = (question in passes, told.returncode == 0)
                            same += answers[0] == answers[1]
                            theirs += answers == (True, False)
                            ours += answers == (False, True)
                            if answers[0] != answers[1]:
                                first.setdefault(answers, (number, question, made))
                                cases.extend(packets(number, question, made, endpoints, felix))
        kind = "selectors and prefixes" if nets else "selectors"
        print(f"| {kind} | {states} | {same + theirs + ours} | {same} | {theirs} | {ours} | {unread} |")
        shown.extend((kind, *rest) for rest in first.values())
    print(f"\n{spent[0]:.1f} s in the analyzer, one process for each state; {spent[1]:.1f} s in translate, one for each answer")
    pathlib.Path(differences).write_text("".join(f"{json.dumps(case)}\n" for case in cases))
    for kind, number, question, made in shown:
        print(f"\n{kind}, state {number}: {question}\n{json.dumps([one['spec'] for one in made])}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

//! The language, by the rows of upstream's own table and by what that leaves out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Looks, MAX_DEPTH, MAX_LENGTH, Selector, SelectorError};

/// Labels written as `a=b,c=d`.
fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn selects(selector: &str, text: &str) -> bool {
    let parsed: Selector = selector.parse().unwrap_or_else(|error| panic!("{selector}: {error}"));
    let again: Selector = parsed.to_string().parse().unwrap_or_else(|error| panic!("{parsed}: {error}"));
    let selects = parsed.matches(&labels(text));
    assert_eq!(again.matches(&labels(text)), selects, "{selector} and {parsed} on {text}");
    selects
}

/// Selector, labels it selects, labels it does not (separated by blanks; `-` has no labels). Facts of
/// projectcalico/calico:libcalico-go/lib/selector/parser/parser_test.go.
const EVALUATION: [(&str, &str, &str); 54] = [
    (r#"a == "b""#, "a=b a=b,c=d", "- a=c c=d"),
    (r#"a == "b" && c == "d""#, "a=b,c=d", "- a=b,c=e a=c,c=d c=d a=b"),
    (r#"a == "b" || c == "d""#, "a=b,c=d a=b c=d", "- a=e,c=e c=e a=e"),
    (r#"a in {"'", '"', "c"}"#, "a=c a=\" a='", "- a=e"),
    (r#"a not in {"'", '"', "c"}"#, "- a=e", "a=c a=\" a='"),
    ("a == 'a'", "a=a", "a=b -"),
    (r#"a == "a""#, "a=a", ""),
    (r#"a != "b""#, "a=a", ""),
    (r#"a != "a""#, "-", "a=a"),
    ("a != 'a'", "", "a=a"),
    (r#"a contains "a""#, "a=a a=bab a=aaa,b=c", "- a=b b=aaa"),
    (r#"a starts with "a""#, "a=a a=abb a=aaa,b=c", "- a=b a=baa b=aaa"),
    (r#"a ends with "a""#, "a=a a=bba a=aaa,b=c", "- a=b a=aab b=aaa"),
    (r#"a in {"a"}"#, "a=a", "a=b"),
    (r#"!a in {"a"}"#, "a=b", ""),
    (r#"a in {"a", "b"}"#, "a=a a=b", "a=c"),
    (r#"a not in {"d", "e"}"#, "a=a", ""),
    (r#"a not in {"a"}"#, "", "a=a"),
    ("has(a)", "a=b", ""),
    ("!has(a)", "b=b", "a=b"),
    ("", "- a=b", ""),
    (" ", "-", ""),
    ("all()", "-", ""),
    (" all()", "- a=b", ""),
    ("global()", "-", ""),
    (" global()", "- a=b", ""),
    ("has(b)", "", "a=b"),
    ("!!has(b)", "", "a=b"),
    ("! has(a)", "", "a=b"),
    ("!!! has(a)", "", "a=b"),
    ("!!!has(a)", "", "a=b"),
    ("!! ! has(a)", "", "a=b"),
    ("! !!has(a)", "", "a=b"),
    ("a == 'a1' && b == 'b1'", "a=a1,b=b1", ""),
    ("a == 'a1' && b != 'b1'", "", "a=a1,b=b1"),
    ("a != 'a1' && b == 'b1'", "", "a=a1,b=b1"),
    ("a != 'a1' && b != 'b1'", "", "a=a1,b=b1"),
    ("a != 'a1' && !b == 'b1'", "", "a=a1,b=b1"),
    ("!a == 'a1' && b == 'b1'", "", "a=a1,b=b1"),
    ("has(a) && !has(b)", "a=a", ""),
    ("!has(b) && has(a)", "a=a", ""),
    ("!(!has(a) || has(b))", "a=a", ""),
    ("!(has(b) || !has(a))", "a=a", ""),
    ("a == 'a1' || b == 'b1'", "a=a1,b=b1", ""),
    ("a == 'a1' || b != 'b1'", "a=a1,b=b1", ""),
    ("a != 'a1' || b == 'b1'", "a=a1,b=b1", ""),
    ("a != 'a1' || b != 'b1'", "", "a=a1,b=b1"),
    ("! a == 'a1' || ! b == 'b1'", "", "a=a1,b=b1"),
    // Further facts of tokenizer.go and ast.go beside it.
    ("a in {}", "", "- a=b"),
    ("a not in {}", "- a=b", ""),
    ("a in {'b',}", "a=b", "-"),
    ("has(a)", "a=", "-"),
    ("a == 'b' || a == 'c' && a == 'd'", "a=b", "a=c a=d"),
    ("node-role.kubernetes.io/etcd == ''", "node-role.kubernetes.io/etcd=", "-"),
];

#[test]
fn upstreams_evaluation_table() {
    let split = |text: &'static str| text.split(' ').filter(|text| !text.is_empty());
    for (selector, selected, others) in EVALUATION {
        for text in split(selected) {
            assert!(selects(selector, text), "{selector} selects {text}");
        }
        for text in split(others) {
            assert!(!selects(selector, text), "{selector} does not select {text}");
        }
    }
}

#[test]
fn upstreams_table_of_bad_selectors() {
    for bad in [
        "b == b",
        "b contains b",
        "b starts with b",
        "b ends with b",
        "'b1' == b",
        "b",
        "a b",
        "!",
        r#"foo == "bar" &"#,
        r#"foo == "bar" |"#,
        "foo != ||",
        r#"foo in {"", ||"#,
        r#"foo in """#,
        r#""FOO"#,
        r#""FOO'"#,
        "'FOO",
        "(",
        r#"(a == "foo""#,
        ")",
        "()",
        "%",
        r#"a == "b" && %"#,
        r#"a == "b" || %"#,
        "a ",
        "has(foo) &&",
        // Beyond the table: a newline is no blank, a word needs its parenthesis at once, and a boundary after it.
        "has(a)\n",
        "has (a)",
        "a inb {'c'}",
        "a containsb 'c'",
        "a = 'b'",
        "has(a) has(b)",
        "a in {'b' 'c'}",
        "a in {,}",
        "é == 'b'",
    ] {
        assert!(bad.parse::<Selector>().is_err(), "{bad}");
    }
}

#[test]
fn upstreams_canonical_forms() {
    for (text, canonical) in [
        ("", "all()"),
        (" all() ", "all()"),
        (" (all() )", "all()"),
        ("! (has( b)||! has(a ))", "!(has(b) || !has(a))"),
        (r#"! (a == "b"&&! c != "d")"#, r#"!(a == "b" && !c != "d")"#),
        (r#"a == "'""#, r#"a == "'""#),
        (r#"a == '"'"#, r#"a == '"'"#),
        (r#"a contains '"'"#, r#"a contains '"'"#),
        (r#"a startswith '"'"#, r#"a starts with '"'"#),
        (r#"a endswith "'""#, r#"a ends with "'""#),
        (r#"a!='"'"#, r#"a != '"'"#),
        (r#"a notin{"d"}"#, r#"a not in {"d"}"#),
        (r#"a in {"d", "a", "b"}"#, r#"a in {"a", "b", "d"}"#),
        (r#"a in {"z", "z", "x", "y", "x", "a"}"#, r#"a in {"a", "x", "y", "z"}"#),
    ] {
        let parsed: Selector = text.parse().expect(text);
        assert_eq!(parsed.to_string(), canonical);
        assert_eq!(canonical.parse::<Selector>().expect(canonical).to_string(), canonical);
    }
}

#[test]
fn upstreams_prefixed_forms() {
    for (text, prefixed) in [
        ("k contains 'v'", r#"visited/k contains "v""#),
        ("k == 'v' || has(x)", r#"(visited/k == "v" || has(visited/x))"#),
        ("!(k == 'v')", r#"!visited/k == "v""#),
        ("k not in {'v'}", r#"visited/k not in {"v"}"#),
        (
            "!(!(k == 'v' && has(t) || all()) && (a in {'b', 'c'}))",
            r#"!(!((visited/k == "v" && has(visited/t)) || all()) && visited/a in {"b", "c"})"#,
        ),
    ] {
        assert_eq!(text.parse::<Selector>().expect(text).prefixed("visited/").to_string(), prefixed);
    }
}

#[test]
fn limits() {
    let nested = |depth: usize| format!("{}has(a){}", "(".repeat(depth), ")".repeat(depth)).parse::<Selector>();
    assert!(nested(MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DEPTH + 1), Err(SelectorError::TooDeep));
    assert_eq!(" ".repeat(MAX_LENGTH + 1).parse::<Selector>(), Err(SelectorError::TooLong));
    assert!(format!("has({})", "a".repeat(512)).parse::<Selector>().is_ok());
    assert_eq!(format!("has({})", "a".repeat(513)).parse::<Selector>(), Err(SelectorError::LongLabel));
    assert!(format!("{}has(a)", "!".repeat(10_000)).parse::<Selector>().is_ok(), "a row of ! is no nesting");
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[a-z()!&|'\"{}=, \n.]{0,60}") {
        if let Ok(selector) = text.parse::<Selector>() {
            let again = selector.to_string().parse::<Selector>().expect("its own text");
            prop_assert_eq!(again.matches(&labels("a=b")), selector.matches(&labels("a=b")));
        }
    }
}

/// The labels of `texts`, reduced to what selectors look at.
fn reduced(selectors: &[&str], texts: &[&str]) -> Vec<BTreeMap<String, String>> {
    let mut looks = Looks::default();
    selectors.iter().for_each(|selector| looks.add(&selector.parse().expect("a selector")));
    let all: Vec<_> = texts.iter().map(|text| labels(text)).collect();
    looks.reduce(&all.iter().collect::<Vec<_>>())
}

#[test]
fn no_selector_tells_reduced_labels_from_whole_ones() {
    let rows = EVALUATION.map(|(selector, yes, no)| (selector, format!("{yes} {no}")));
    let texts: Vec<&str> = rows.iter().flat_map(|(_, texts)| texts.split(' ')).collect();
    // Each alone, and each among the others.
    let all: Vec<&str> = rows.iter().map(|(selector, _)| *selector).collect();
    for selector in &all {
        let parsed: Selector = selector.parse().expect("a selector");
        for looked_at in [&[*selector][..], &all] {
            for (text, reduced) in texts.iter().zip(reduced(looked_at, &texts)) {
                assert_eq!(
                    parsed.matches(&reduced),
                    parsed.matches(&labels(text)),
                    "{selector} on {text}: {reduced:?}"
                );
            }
        }
    }
}

#[test]
fn values_that_nobody_compares_are_one() {
    let texts = ["a=1,b=x", "a=2,b=y", "a=3", "c=1"];
    let is = |selectors: &[&str], expected: [&str; 4]| assert_eq!(reduced(selectors, &texts), expected.map(labels));
    is(&["all()"], ["", "", "", ""]);
    is(&["has(a)"], ["a=1", "a=1", "a=1", ""]);
    is(&["a == '2'", "has(b)"], ["a=1,b=x", "a=2,b=x", "a=1", ""]);
    is(&["a not in {'2', '3'}"], ["a=1", "a=2", "a=3", ""]);
    is(&["b starts with 'y' || !a ends with '3'"], ["a=1,b=x", "a=1,b=y", "a=3", ""]);
}

#[test]
fn looks_cover_what_is_no_other_look() {
    let mut looks = Looks::default();
    looks.add(&"a == '1' && b contains 'x'".parse().expect("a selector"));
    for (selector, covered) in [
        ("all()", true),
        ("has(a) || !has(b)", true),
        ("a != '1'", true),
        ("a in {}", true),
        ("a in {'1', '2'}", false),
        ("b starts with 'x'", false),
        ("b == 'x'", false),
        ("has(c)", false),
    ] {
        assert_eq!(looks.cover(&selector.parse().expect("a selector")), covered, "{selector}");
    }
}

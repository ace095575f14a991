//! Objects and their variants as the text of a template.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Layer;
use super::knobs::{KNOBS, Knob, What};
use crate::{Error, Result};

/// What every file begins with.
pub(super) const HEAD: &str = "{{- /* Made from manifests/ by `cargo xtask chart`. Changes go there. */}}\n";

/// The namespace that the manifests name; a release says its own.
const NAMESPACE: &str = "lifeline-system";

/// What layers make of a value, of those that change it.
type Variants<'v> = Vec<(&'v Layer, &'v Value)>;

/// Writes objects, and knows which knobs had a place.
#[derive(Debug, Default)]
pub(super) struct Writer {
    used: BTreeSet<usize>,
}

/// Where a value is.
#[derive(Clone, Debug)]
struct Place<'p> {
    kind: &'p str,
    path: String,
    /// Spaces before it.
    depth: usize,
}

impl Place<'_> {
    fn below(&self, name: &str, depth: usize) -> Self {
        Self { kind: self.kind, path: format!("{}/{name}", self.path), depth: self.depth + depth }
    }
}

impl Writer {
    /// One object, with its conditions.
    pub(super) fn object(&mut self, base: Option<&Value>, variants: &[(&Layer, Option<&Value>)]) -> Result<String> {
        let mut conditions = Vec::new();
        let (value, changed) = if let Some(base) = base {
            let gone: Vec<&Layer> =
                variants.iter().filter(|(_, value)| value.is_none()).map(|(layer, _)| *layer).collect();
            conditions.extend(unless(&gone));
            let there = variants.iter().filter_map(|(layer, value)| Some((*layer, (*value)?)));
            (base, there.filter(|(_, value)| *value != base).collect())
        } else {
            let added: Vec<_> = variants.iter().filter_map(|(layer, value)| Some((*layer, (*value)?))).collect();
            let [(layer, value)] = added.as_slice() else { return Err(contradiction("an object is added", "")) };
            conditions.push(layer.when.to_owned());
            (*value, Vec::new())
        };
        let place = Place { kind: value["kind"].as_str().unwrap_or_default(), path: String::new(), depth: 0 };
        if let Some(Knob { what: What::If(condition), .. }) = self.knob(&place) {
            conditions.push((*condition).to_owned());
        }
        let mut lines = vec!["---".to_owned()];
        lines.extend(self.body(value, &changed, &place)?);
        let condition = match conditions.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            more => Some(format!("and {}", more.iter().map(|it| format!("({it})")).collect::<Vec<_>>().join(" "))),
        };
        if let Some(condition) = condition {
            lines.insert(0, format!("{{{{- if {condition} }}}}"));
            lines.push("{{- end }}".to_owned());
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Whether every knob had a place.
    pub(super) fn finish(self) -> Result<()> {
        match (0..KNOBS.len()).find(|index| !self.used.contains(index)) {
            Some(index) => Err(contradiction("nothing in the manifests is at", KNOBS[index].path)),
            None => Ok(()),
        }
    }

    fn knob(&mut self, place: &Place<'_>) -> Option<&'static Knob> {
        let fits = |knob: &Knob| {
            let at = if knob.path.is_empty() { place.path.is_empty() } else { place.path.ends_with(knob.path) };
            at && knob.kinds.contains(&place.kind)
        };
        let index = KNOBS.iter().position(fits)?;
        self.used.insert(index);
        Some(&KNOBS[index])
    }

    /// The lines of a map or list, without what it belongs to.
    fn body(&mut self, value: &Value, variants: &Variants<'_>, place: &Place<'_>) -> Result<Vec<String>> {
        let mut lines = match value {
            Value::Object(map) => self.map(map, variants, place)?,
            Value::Array(items) => self.list(items, variants, place)?,
            other => vec![scalar(other)],
        };
        if let Some(Knob { what: What::More(more), .. }) = self.knob(place) {
            lines.extend(more.iter().map(|&line| line.to_owned()));
        }
        Ok(lines)
    }

    fn map(&mut self, base: &Map<String, Value>, variants: &Variants<'_>, place: &Place<'_>) -> Result<Vec<String>> {
        let mut keys: BTreeSet<&String> = base.keys().collect();
        keys.extend(variants.iter().filter_map(|(_, value)| value.as_object()).flat_map(Map::keys));
        let mut lines = Vec::new();
        for key in keys {
            let own = base.get(key);
            let theirs: Vec<(&Layer, Option<&Value>)> = variants
                .iter()
                .map(|(layer, value)| (*layer, value.get(key)))
                .filter(|(_, value)| *value != own)
                .collect();
            let below = place.below(key, 2);
            let head = format!("{}:", scalar(&Value::String(key.clone())));
            let whole = match self.knob(&below) {
                Some(Knob { what: What::Whole(whole), .. }) => Some(*whole),
                _ => None,
            };
            if let Some(whole) = whole {
                lines.push(format!("{{{{- if {whole} }}}}"));
                lines.push(format!("{head} {{{{ toJson {whole} }}}}"));
                lines.push("{{- else }}".to_owned());
            }
            lines.extend(self.one_of(&head, own, &theirs, &below)?);
            if whole.is_some() {
                lines.push("{{- end }}".to_owned());
            }
        }
        Ok(lines)
    }

    /// A key whose value may differ, or be missing, in layers.
    fn one_of(
        &mut self,
        head: &str,
        own: Option<&Value>,
        theirs: &[(&Layer, Option<&Value>)],
        place: &Place<'_>,
    ) -> Result<Vec<String>> {
        let same_shape = |value: &Value| match (own, value) {
            (Some(Value::Object(own)), Value::Object(map)) => !own.is_empty() && !map.is_empty(),
            (Some(Value::Array(own)), Value::Array(list)) => !own.is_empty() && !list.is_empty(),
            _ => false,
        };
        let merged: Option<Variants<'_>> = theirs
            .iter()
            .map(|(layer, value)| value.filter(|it| same_shape(it)).map(|value| (*layer, value)))
            .collect();
        if let (Some(own), Some(merged)) = (own, merged) {
            return self.entry(head, own, &merged, place);
        }
        let mut lines = Vec::new();
        if let (Some(own), true) = (own, theirs.iter().all(|(_, value)| value.is_none())) {
            let gone: Vec<&Layer> = theirs.iter().map(|(layer, _)| *layer).collect();
            lines.extend(unless(&gone).map(|condition| format!("{{{{- if {condition} }}}}")));
            lines.extend(self.entry(head, own, &Vec::new(), place)?);
            lines.push("{{- end }}".to_owned());
            return Ok(lines);
        }
        for (index, (layer, value)) in theirs.iter().enumerate() {
            let word = if index == 0 { "if" } else { "else if" };
            lines.push(format!("{{{{- {word} {} }}}}", layer.when));
            if let Some(value) = value {
                lines.extend(self.entry(head, value, &Vec::new(), place)?);
            }
        }
        if let Some(own) = own {
            lines.push("{{- else }}".to_owned());
            lines.extend(self.entry(head, own, &Vec::new(), place)?);
        }
        lines.push("{{- end }}".to_owned());
        Ok(lines)
    }

    fn list(&mut self, base: &[Value], variants: &Variants<'_>, place: &Place<'_>) -> Result<Vec<String>> {
        let aligned: Vec<(&Layer, Aligned<'_>)> = variants
            .iter()
            .map(|(layer, value)| (*layer, Aligned::of(base, value.as_array().map_or(&[], Vec::as_slice))))
            .collect();
        let mut lines = Vec::new();
        for at in 0..=base.len() {
            for (layer, aligned) in &aligned {
                if aligned.before[at].is_empty() {
                    continue;
                }
                lines.push(format!("{{{{- if {} }}}}", layer.when));
                for item in &aligned.before[at] {
                    lines.extend(self.entry("-", item, &Vec::new(), &place.below(&name(item), 2))?);
                }
                lines.push("{{- end }}".to_owned());
            }
            let Some(item) = base.get(at) else { continue };
            let gone: Vec<&Layer> =
                aligned.iter().filter(|(_, it)| it.kept[at].is_none()).map(|(layer, _)| *layer).collect();
            let changed: Variants<'_> = aligned
                .iter()
                .filter_map(|(layer, it)| Some((*layer, it.kept[at]?)))
                .filter(|(_, value)| *value != item)
                .collect();
            let condition = unless(&gone);
            lines.extend(condition.iter().map(|condition| format!("{{{{- if {condition} }}}}")));
            lines.extend(self.entry("-", item, &changed, &place.below(&name(item), 2))?);
            lines.extend(condition.iter().map(|_| "{{- end }}".to_owned()));
        }
        Ok(lines)
    }

    /// A value behind `key:` or `-`.
    fn entry(&mut self, head: &str, value: &Value, variants: &Variants<'_>, place: &Place<'_>) -> Result<Vec<String>> {
        let is_item = head == "-";
        match value {
            Value::Object(map) if !map.is_empty() => {
                let mut lines = indented(self.body(value, variants, place)?);
                if !is_item {
                    lines.insert(0, head.to_owned());
                } else if lines[0].starts_with("  {{-") {
                    return Err(contradiction("the first field of a list item depends on a layer:", &place.path));
                } else {
                    lines[0].replace_range(..1, "-");
                }
                Ok(lines)
            }
            Value::Array(items) if !items.is_empty() => {
                if is_item {
                    return Err(contradiction("a list in a list:", &place.path));
                }
                // Items stand below their key's first letter.
                let place = Place { depth: place.depth.saturating_sub(2), ..place.clone() };
                let mut lines = self.body(value, variants, &place)?;
                lines.insert(0, head.to_owned());
                Ok(lines)
            }
            Value::String(text) => match self.knob(place).map(|knob| &knob.what) {
                Some(What::Config) => config(head, text, place.depth),
                Some(What::Value(expression)) => {
                    let expression = expression.replace('@', &Value::String(text.clone()).to_string());
                    Ok(vec![format!("{head} {{{{ {expression} | quote }}}}")])
                }
                _ => Ok(string(head, text)),
            },
            other => Ok(vec![match self.knob(place).map(|knob| &knob.what) {
                Some(What::Value(expression)) => {
                    format!("{head} {{{{ {} }}}}", expression.replace('@', &other.to_string()))
                }
                _ => format!("{head} {}", scalar(other)),
            }]),
        }
    }
}

/// A list of a layer, beside that of the base.
struct Aligned<'v> {
    /// What there is of each item of the base.
    kept: Vec<Option<&'v Value>>,
    /// What is new before each of them, and after the last.
    before: Vec<Vec<&'v Value>>,
}

impl<'v> Aligned<'v> {
    /// By the longest sequence of items with the same names.
    fn of(base: &[Value], layer: &'v [Value]) -> Self {
        let same = |a: usize, b: usize| name(&base[a]) == name(&layer[b]);
        let mut longest = vec![vec![0_usize; layer.len() + 1]; base.len() + 1];
        for a in (0..base.len()).rev() {
            for b in (0..layer.len()).rev() {
                longest[a][b] =
                    if same(a, b) { longest[a + 1][b + 1] + 1 } else { longest[a + 1][b].max(longest[a][b + 1]) };
            }
        }
        let (mut kept, mut before) = (vec![None; base.len()], vec![Vec::new(); base.len() + 1]);
        let (mut a, mut b) = (0, 0);
        while b < layer.len() {
            if a < base.len() && same(a, b) {
                kept[a] = Some(&layer[b]);
                (a, b) = (a + 1, b + 1);
            } else if a < base.len() && longest[a + 1][b] >= longest[a][b + 1] {
                a += 1;
            } else {
                before[a].push(&layer[b]);
                b += 1;
            }
        }
        Self { kept, before }
    }
}

/// What an item of a list is known by.
fn name(item: &Value) -> String {
    item["name"].as_str().map_or_else(|| item.to_string(), str::to_owned)
}

/// The condition that none of the layers holds, if there are any.
fn unless(layers: &[&Layer]) -> Option<String> {
    match layers {
        [] => None,
        [one] => Some(format!("not ({})", one.when)),
        more => {
            Some(format!("not (or {})", more.iter().map(|it| format!("({})", it.when)).collect::<Vec<_>>().join(" ")))
        }
    }
}

/// A text of several lines as one, any other as a scalar.
fn string(head: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
    let plain = lines.iter().all(|line| !line.ends_with(' ') && !line.contains(['\t', '\r'])) && !text.starts_with(' ');
    let chomped = match text.len() - text.trim_end_matches('\n').len() {
        0 => "|-",
        1 => "|",
        _ => "",
    };
    if lines.len() < 2 || !plain || chomped.is_empty() {
        return vec![format!("{head} {}", scalar(&Value::String(text.to_owned())))];
    }
    let mut written = vec![format!("{head} {chomped}")];
    written.extend(indented(lines.into_iter().map(escaped).collect()));
    written
}

/// A LifelineConfig whose `spec` users may add to.
fn config(head: &str, text: &str, depth: usize) -> Result<Vec<String>> {
    let unreadable = |_| contradiction("no LifelineConfig:", text);
    let value: Value = serde_saphyr::from_str(text).map_err(unreadable)?;
    let Some((before, _)) = text.split_once("spec:") else { return Err(contradiction("no spec:", text)) };
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    lines.push(format!("{{{{- $spec := mergeOverwrite (fromJson `{}`) .Values.config }}}}", value["spec"]));
    let spec = format!("{{{{ toYaml $spec | nindent {} }}}}", depth + 2);
    lines.push(format!("spec: {{{{- if $spec }}}}{spec}{{{{ else }}}} {{}}{{{{ end }}}}"));
    let mut written = vec![format!("{head} |")];
    written.extend(indented(lines));
    Ok(written)
}

/// A scalar, or a map or list that is empty, on one line.
fn scalar(value: &Value) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let text = match value {
        Value::String(text) => text,
        other => return other.to_string(),
    };
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || "_./-".contains(it))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !text.contains(NAMESPACE);
    if plain { text.clone() } else { escaped(&Value::String(text.clone()).to_string()) }
}

/// Text in which Helm finds nothing to do, but for the namespace.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}").replace(NAMESPACE, "{{ .Release.Namespace }}")
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| if line.is_empty() { line } else { format!("  {line}") }).collect()
}

fn contradiction(what: &str, path: &str) -> Error {
    Error::Answer { part: "the manifests", answer: format!("{what} {path}").trim_end().to_owned() }
}

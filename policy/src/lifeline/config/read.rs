//! Reading a LifelineConfig. What breaks its shape is reported one at a time, everything else at once.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_path_to_error::Track;
use serde_saphyr::{Error, Location, Spanned};

use super::error::{Code, ConfigError, suggest};
use super::raw::{RawAdd, RawConfig, RawEnd, RawNarrow, RawParameters, RawTolerate, Text};
use super::{Add, Config, End, Narrow, Parameters, SwitchOff, Tolerate};
use crate::lifeline::catalogue;
use crate::net::Cidr;

const API_VERSION: &str = "lifeline.dev/v1alpha1";
const KIND: &str = "LifelineConfig";

impl Config {
    /// Reads a configuration: YAML, or JSON.
    ///
    /// # Errors
    ///
    /// Every mistake, in the order of the text, as far as its shape can be read.
    pub fn read(text: &str) -> Result<Self, Vec<ConfigError>> {
        let raw = shape(text).map_err(|error| vec![error])?;
        let mut reader = Reader::default();
        let config = reader.config(raw);
        reader.errors.sort_by_key(|error| error.bytes.start);
        if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) }
    }
}

fn shape(text: &str) -> Result<RawConfig, ConfigError> {
    let mut options = serde_saphyr::options! {};
    options.with_snippet = false;
    // A number where a text belongs is refused, as the API server and the schema do.
    options.no_schema = true;
    let mut track = Track::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        RawConfig::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
    });
    read.map_err(|error| broken(&error, &track.path().to_string()))
}

/// What the YAML reader says, in this project's words.
fn broken(error: &Error, path: &str) -> ConfigError {
    let (code, message, help) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let names = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let help = suggest(field, expected.iter().copied()).unwrap_or_else(|| format!("the fields are {names}"));
            (Code::ConfigUnknownField, format!("there is no field `{field}` here"), Some(help))
        }
        Error::SerdeMissingField { field, .. } => (Code::ConfigMissingField, format!("`{field}` is missing"), None),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let names = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let help = suggest(variant, expected.iter().copied()).unwrap_or_else(|| format!("it takes {names}"));
            (Code::ConfigWrongValue, format!("`{variant}` is not one of its values"), Some(help))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            (Code::ConfigWrongValue, format!("expected {expected}, found {unexpected}"), None)
        }
        Error::QuotingRequired { value, .. } => {
            let help = Some(format!("write it as \"{value}\""));
            (Code::ConfigWrongValue, format!("`{value}` is no text to every reader of YAML"), help)
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key");
            (Code::ConfigSyntax, format!("`{key}` stands twice"), Some("keep one of them".to_owned()))
        }
        other => {
            let text = other.to_string();
            (Code::ConfigSyntax, text.lines().next().unwrap_or_default().to_owned(), None)
        }
    };
    let path = if path == "." { String::new() } else { path.to_owned() };
    at(code, message, path, error.location().as_ref(), help)
}

fn at(code: Code, message: String, path: String, place: Option<&Location>, help: Option<String>) -> ConfigError {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (line, column, bytes) = match place {
        Some(place) => {
            let start = number(place.span().byte_offset().unwrap_or_default());
            let length = number(place.span().byte_len().unwrap_or_default());
            (number(place.line()).max(1), number(place.column()).max(1), start..start.saturating_add(length))
        }
        None => (1, 1, 0..0),
    };
    ConfigError { code, message, path, line, column, bytes, help }
}

#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
    /// Where each lifeline was switched off or narrowed.
    touched: BTreeMap<String, String>,
}

impl Reader {
    fn config(&mut self, raw: RawConfig) -> Config {
        for (text, wanted, path) in [(&raw.api_version, API_VERSION, "apiVersion"), (&raw.kind, KIND, "kind")] {
            if text.value != wanted {
                let message = format!("this is `{}`, not `{wanted}`", text.value);
                self.error(Code::ConfigWrongKind, message, path, text, Some(format!("write `{path}: {wanted}`")));
            }
        }
        let added: Vec<String> = raw.spec.add.iter().map(|add| add.value.id.value.clone()).collect();
        let parameters = self.parameters(raw.spec.parameters);
        let mut switch_off = Vec::new();
        for (index, entry) in raw.spec.switch_off.into_iter().enumerate() {
            let (path, entry) = (format!("spec.switchOff[{index}]"), entry.value);
            let reason = self.reason(&path, &entry.id, entry.reason);
            let id = self.known(&path, entry.id, &added);
            switch_off.push(SwitchOff { id, reason });
        }
        let narrow = raw.spec.narrow.into_iter().enumerate();
        let narrow =
            narrow.map(|(index, entry)| self.narrow(&format!("spec.narrow[{index}]"), entry, &added)).collect();
        let add = raw.spec.add.into_iter().enumerate();
        let add = add.map(|(index, entry)| self.add(&format!("spec.add[{index}]"), entry.value)).collect();
        let tolerate = raw.spec.tolerate.into_iter().enumerate();
        let tolerate =
            tolerate.map(|(index, entry)| self.tolerate(&format!("spec.tolerate[{index}]"), entry.value)).collect();
        Config { name: raw.metadata.name, parameters, switch_off, narrow, add, mode: raw.spec.mode, tolerate }
    }

    fn tolerate(&mut self, path: &str, entry: RawTolerate) -> Tolerate {
        let doubt = entry.doubt.value;
        let named = Spanned::new(doubt.to_string(), entry.doubt.referenced, entry.doubt.defined);
        let reason = self.reason(path, &named, entry.reason);
        Tolerate { doubt, field: entry.field, reason }
    }

    fn parameters(&mut self, mut raw: RawParameters) -> Parameters {
        let mut parameters = Parameters {
            distribution: raw.distribution,
            egress_selector_mode: raw.egress_selector_mode,
            ..Parameters::default()
        };
        for (name, texts) in raw.addresses() {
            let cidrs: Vec<Cidr> = self.all(&format!("spec.parameters.{name}"), texts);
            parameters.state(name, cidrs);
        }
        parameters.overlay = raw.overlay.map(|texts| self.all("spec.parameters.overlay", texts));
        parameters
    }

    fn narrow(&mut self, path: &str, entry: Spanned<RawNarrow>, added: &[String]) -> Narrow {
        let place = entry.referenced;
        let entry = entry.value;
        if entry.from.is_none() && entry.to.is_none() && entry.traffic.is_none() {
            let help =
                Some("state `from`, `to` or `traffic`; what they leave out is not held against changes".to_owned());
            let message = "this narrows nothing".to_owned();
            self.errors.push(at(Code::ConfigMissingField, message, path.to_owned(), Some(&place), help));
        }
        let reason = self.reason(path, &entry.id, entry.reason);
        Narrow {
            reason,
            from: entry.from.and_then(|end| self.end(&format!("{path}.from"), end)),
            to: entry.to.and_then(|end| self.end(&format!("{path}.to"), end)),
            traffic: entry.traffic.map(|texts| self.all(&format!("{path}.traffic"), texts)),
            id: self.known(path, entry.id, added),
        }
    }

    fn add(&mut self, path: &str, entry: RawAdd) -> Add {
        let reason = self.reason(path, &entry.id, entry.reason);
        let id = &entry.id.value;
        let plain = !id.is_empty()
            && id.len() <= 63
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !plain {
            let help = Some("write lower case letters, digits and dashes, at most 63".to_owned());
            let message = format!("`{id}` is not an id");
            self.error(Code::ConfigWrongValue, message, &format!("{path}.id"), &entry.id, help);
        }
        if entry.traffic.value.is_empty() {
            let message = "a flow needs packets".to_owned();
            let help = Some("write for example `[TCP/443]`, or `[any]`".to_owned());
            let place = Some(&entry.traffic.referenced);
            self.errors.push(at(Code::ConfigWrongValue, message, format!("{path}.traffic"), place, help));
        }
        if entry.breaks.is_none() && catalogue::find(id).is_none() {
            let message = "a lifeline of your own needs to say what breaks".to_owned();
            let help = Some("add `breaks`, in words for the one who is paged".to_owned());
            self.error(Code::ConfigMissingField, message, &format!("{path}.breaks"), &entry.id, help);
        }
        let (from, to) = (&entry.from.value, &entry.to.value);
        if from.itself == Some(true) && to.itself == Some(true) || from.cidrs.is_some() && to.cidrs.is_some() {
            let message = "no end of this flow is a node".to_owned();
            let help = Some("a host policy decides about packets of nodes only; let one end be `nodes`".to_owned());
            self.error(Code::ConfigContradiction, message, path, &entry.id, help);
        }
        // An end that is not understood has been reported.
        let from = self.end(&format!("{path}.from"), entry.from).unwrap_or(End::Itself);
        let to = self.end(&format!("{path}.to"), entry.to).unwrap_or(End::Itself);
        Add {
            reason,
            severity: entry.severity,
            from,
            to,
            traffic: self.all(&format!("{path}.traffic"), entry.traffic.value),
            breaks: entry.breaks,
            id: entry.id.value,
        }
    }

    fn end(&mut self, path: &str, end: Spanned<RawEnd>) -> Option<End> {
        match end.value {
            RawEnd { nodes: Some(selector), cidrs: None, itself: None } => Some(End::Nodes(selector.into())),
            RawEnd { nodes: None, cidrs: Some(texts), itself: None } => Some(End::Addresses(self.all(path, texts))),
            RawEnd { nodes: None, cidrs: None, itself: Some(true) } => Some(End::Itself),
            _ => {
                let message = "an end is exactly one of `nodes`, `cidrs` and `itself: true`".to_owned();
                let help = Some("every node is `nodes: {}`, everyone `cidrs: [0.0.0.0/0, \"::/0\"]`".to_owned());
                let place = Some(&end.referenced);
                self.errors.push(at(Code::ConfigWrongValue, message, path.to_owned(), place, help));
                None
            }
        }
    }

    /// A reason that says something.
    fn reason(&mut self, path: &str, id: &Text, reason: Option<Text>) -> String {
        match reason {
            Some(reason) if !reason.value.trim().is_empty() => reason.value,
            given => {
                let place = given.as_ref().unwrap_or(id);
                let message = format!("`{}` is changed without a reason", id.value);
                let help = Some("add `reason`: whoever reads the next refusal must know why this was done".to_owned());
                self.error(Code::ConfigNoReason, message, &format!("{path}.reason"), place, help);
                String::new()
            }
        }
    }

    /// The id of a lifeline that there is, and that no other entry takes away from.
    fn known(&mut self, path: &str, id: Text, added: &[String]) -> String {
        if catalogue::find(&id.value).is_none() && !added.contains(&id.value) {
            let ids = catalogue::all().map(|entry| entry.id);
            let help = suggest(&id.value, ids).or_else(|| Some("`translate lifelines` lists them".to_owned()));
            let message = format!("there is no lifeline `{}`", id.value);
            self.error(Code::ConfigUnknownLifeline, message, &format!("{path}.id"), &id, help);
        }
        if let Some(before) = self.touched.insert(id.value.clone(), path.to_owned()) {
            let message = format!("`{}` is changed here and by {before}", id.value);
            let help = Some("say it in one place".to_owned());
            self.error(Code::ConfigContradiction, message, &format!("{path}.id"), &id, help);
        }
        id.value
    }

    /// Values of a list; those that cannot be read are reported and left out.
    fn all<T: FromStr<Err: std::fmt::Display>>(&mut self, path: &str, texts: Vec<Text>) -> Vec<T> {
        let mut values = Vec::with_capacity(texts.len());
        for (index, text) in texts.into_iter().enumerate() {
            match text.value.parse::<T>() {
                Ok(value) => values.push(value),
                Err(error) => {
                    self.error(Code::ConfigWrongValue, error.to_string(), &format!("{path}[{index}]"), &text, None);
                }
            }
        }
        values
    }

    fn error(&mut self, code: Code, message: String, path: &str, place: &Text, help: Option<String>) {
        self.errors.push(at(code, message, path.to_owned(), Some(&place.referenced), help));
    }
}

#[cfg(test)]
mod tests;

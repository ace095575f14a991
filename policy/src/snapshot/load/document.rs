//! Texts into documents, each with its place.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use serde_saphyr::Spanned;

use super::LoadError;
use crate::snapshot::Source;

/// Nesting that no Kubernetes object has.
const DEEPEST: usize = 64;
/// Documents, values and bytes in one YAML text.
const MOST_DOCUMENTS: usize = 100_000;
const MOST_VALUES: usize = 20_000_000;
const MOST_BYTES: usize = 512 << 20;
/// Values in one object. The API server takes no request of more than 3 MiB.
const MOST_IN_OBJECT: usize = 2_000_000;

/// One object, untyped.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) source: Source,
}

/// The objects of a text; lists are taken apart, empty documents are passed over.
pub(super) fn documents(file: &str, text: &str) -> Result<Vec<Document>, LoadError> {
    if text.len() > MOST_BYTES {
        return Err(LoadError::TooLong { file: file.to_owned(), bytes: text.len(), most: MOST_BYTES });
    }
    let documents = objects(file, text)?;
    match documents.iter().find(|document| values(&document.value) > MOST_IN_OBJECT) {
        Some(large) => Err(LoadError::TooLarge { at: Arc::new(large.source.clone()), most: MOST_IN_OBJECT }),
        None => Ok(documents),
    }
}

/// How many values an object is made of. No deeper than the readers go.
fn values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}

fn objects(file: &str, text: &str) -> Result<Vec<Document>, LoadError> {
    // JSON is YAML, but a list of thousands of nodes is read ten times as fast as what it is.
    if text.trim_start().starts_with('{')
        && let Ok(documents) = json(file, text)
    {
        return Ok(documents);
    }
    yaml(file, text)
}

#[derive(serde::Deserialize)]
struct JsonList<'t> {
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
}

fn json(file: &str, text: &str) -> Result<Vec<Document>, serde_json::Error> {
    let mut documents = Vec::new();
    let stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut lines = Lines { text, at: 0, line: 1 };
    for (index, document) in stream.enumerate() {
        let document = document?;
        let one = |raw: &RawValue, item: Option<usize>, lines: &mut Lines<'_>| {
            let source = Source { file: file.to_owned(), document: index, item, line: lines.of(raw.get()) };
            Ok(Document { value: serde_json::from_str(raw.get())?, source })
        };
        if is_list(document.get()) {
            let list: JsonList<'_> = serde_json::from_str(document.get())?;
            for (item, raw) in list.items.into_iter().enumerate() {
                documents.push(one(raw, Some(item), &mut lines)?);
            }
        } else {
            documents.push(one(document, None, &mut lines)?);
        }
    }
    Ok(documents)
}

/// Whether a JSON text is a list of objects, as `kubectl get -o json` prints it.
fn is_list(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Head<'t> {
        #[serde(borrow)]
        kind: Option<std::borrow::Cow<'t, str>>,
        #[serde(borrow)]
        items: Option<&'t RawValue>,
    }
    serde_json::from_str::<Head<'_>>(text)
        .is_ok_and(|head| head.items.is_some() && head.kind.is_some_and(|kind| kind.ends_with("List")))
}

/// Lines of places in a text that are asked for from the front to the back.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// Line of a part of the text, from 1.
    fn of(&mut self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        let between = self.text.as_bytes().get(self.at..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.at = self.at.max(offset);
        self.line
    }
}

fn yaml(file: &str, text: &str) -> Result<Vec<Document>, LoadError> {
    let mut options = serde_saphyr::options! {};
    options.with_snippet = false;
    // A list of a large cluster has more values than the reader's guard against bombs lets through. What a bomb is made of,
    // aliases of aliases, stays limited.
    options.budget = serde_saphyr::budget! {
        max_depth: DEEPEST,
        max_documents: MOST_DOCUMENTS,
        max_events: MOST_VALUES,
        max_nodes: MOST_VALUES,
        max_total_scalar_bytes: MOST_BYTES,
    };
    let parsed: Vec<Spanned<Value>> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        LoadError::Syntax { file: file.to_owned(), message: message.lines().next().unwrap_or_default().to_owned() }
    })?;
    let mut documents = Vec::new();
    for (index, document) in parsed.into_iter().enumerate() {
        let line = usize::try_from(document.referenced.line()).unwrap_or(usize::MAX);
        let source = |item| Source { file: file.to_owned(), document: index, item, line };
        let list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match document.value {
            Value::Null => {}
            Value::Object(mut object) if list && object.get("items").is_some_and(Value::is_array) => {
                let Some(Value::Array(items)) = object.remove("items") else { continue };
                let items = items.into_iter().enumerate();
                documents.extend(items.map(|(item, value)| Document { value, source: source(Some(item)) }));
            }
            value => documents.push(Document { value, source: source(None) }),
        }
    }
    Ok(documents)
}

//! The tables of `docs/lifelines.md` are those of the code. `UPDATE_DOCS=1` writes them.

use std::path::Path;

use policy::lifeline::catalogue;
use policy::lifeline::config::ADDRESSES;

/// A text with what stands between a mark and its end replaced.
fn with(text: &str, mark: &str, table: &str) -> String {
    let begin = text.find(&format!("<!-- {mark}: ")).unwrap_or_else(|| panic!("there is no mark {mark}"));
    let begin = begin + text[begin..].find('\n').expect("a line") + 1;
    let end = begin + text[begin..].find("<!-- end -->").expect("an end");
    format!("{}{table}{}", &text[..begin], &text[end..])
}

#[test]
fn the_page_says_what_the_code_does() {
    let parameters = ADDRESSES.map(|(name, what)| format!("| `{name}` | {what} |\n")).concat();
    let entry = |it: &catalogue::Entry| {
        format!("| `{}` | {} | {} | {} | {} | {} |\n", it.id, it.severity, it.from, it.to, it.packets, it.breaks)
    };
    let entries: String = catalogue::all().map(entry).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lifelines.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let made = with(&text, "parameters", &format!("| parameter | what |\n|---|---|\n{parameters}"));
    let head = "| id | severity | from | to | packets | without it |\n|---|---|---|---|---|---|\n";
    let made = with(&made, "catalogue", &format!("{head}{entries}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    assert_eq!(text, made, "run it with UPDATE_DOCS=1");
}

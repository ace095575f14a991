//! What the README shows is what there is to see.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use webhook::offline::Fixed;
use webhook::review::Request;
use webhook::validate::{Change, Judge as _};

#[test]
fn the_lock_out_of_the_readme_is_refused_in_its_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shown: PathBuf = root.join("docs/try");
    let judge = Fixed::read(&[shown.join("state")], Some(&shown.join("lifeline.yaml"))).expect("a state");
    let body = std::fs::read(shown.join("review.json")).expect("a review");
    let request = Request::read(&body).expect("a review");
    let operation = request.operation().expect("an operation");
    let (before, after) = request.change().expect("a change");
    let deadline = Instant::now() + Duration::from_secs(60);
    let change = Change { request: &request, operation, before, after, deadline };
    let decision = judge.judge(&change).expect("a verdict");
    let message = decision.answer.denial.expect("a denial").message;
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    assert!(readme.contains(&message), "{message}");
}

//! Which of several changes can happen together.

use policy::lifeline::judge::is_same;

use super::cell::Entry;

/// Every set of changes that can happen together, the empty one first. Of several changes to one revision of an object,
/// storage takes one.
pub(super) fn all<'e>(entries: &[&'e Entry]) -> Vec<Vec<&'e Entry>> {
    let mut subsets: Vec<Vec<&Entry>> = vec![Vec::new()];
    for entry in entries {
        let without = |subset: &&Vec<&Entry>| !subset.iter().any(|other| is_same(&other.key(), &entry.key()));
        let with: Vec<Vec<&Entry>> =
            subsets.iter().filter(without).map(|subset| [subset.as_slice(), &[*entry]].concat()).collect();
        subsets.extend(with);
    }
    subsets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, group: &str, name: &str) -> Entry {
        let [id, group, name] = [id, group, name].map(str::to_owned);
        let (version, kind) = ("v3".to_owned(), "GlobalNetworkPolicy".to_owned());
        Entry { id, group, version, kind, namespace: String::new(), name, seen: None, after: None }
    }

    #[test]
    fn changes_of_one_object_exclude_each_other_under_both_of_its_names() {
        let v3 = "projectcalico.org";
        let entries = [
            entry("1", v3, "a"),
            entry("2", v3, "b"),
            entry("3", "crd.projectcalico.org", "default.b"),
            entry("4", v3, "c"),
        ];
        let subsets = all(&entries.iter().collect::<Vec<_>>());
        let ids: Vec<String> =
            subsets.iter().map(|subset| subset.iter().map(|entry| entry.id.as_str()).collect()).collect();
        assert_eq!(ids, ["", "1", "2", "12", "3", "13", "4", "14", "24", "124", "34", "134"]);
    }
}

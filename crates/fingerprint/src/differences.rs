//! What differs between two clients, in words, for a comparison.

use std::fmt::Display;

use crate::likeness::set;
use crate::profile::{List, Profile, Tls, TlsLists};

/// At most this many values are named in one line.
const NAMED: usize = 12;

/// Lines that say what differs, in the order of the sections; empty where nothing does.
pub(crate) fn differences(a: &Profile, b: &Profile) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(a), Some(b)) = (&a.tls, &b.tls) {
        let (left, right) = (&a.lists, &b.lists);
        for (name, a, b) in [
            ("ciphers", &left.ciphers, &right.ciphers),
            ("extensions", &left.extensions, &right.extensions),
            ("groups", &left.groups, &right.groups),
            (
                "signature_algorithms",
                &left.signature_algorithms,
                &right.signature_algorithms,
            ),
        ] {
            if let (Some(a), Some(b)) = (a, b) {
                lines.extend(of_lists(name, a, b));
            }
        }
        let lists = left.ciphers.is_some() && right.ciphers.is_some();
        if lists {
            lines.extend(of_alpn_and_version(a, b));
        } else {
            if let (Some(a), Some(b)) = (&a.ja4, &b.ja4)
                && !a.is_of_same_client(b)
            {
                lines.extend(of_values("ja4", Some(a), Some(b)));
            }
            lines.extend(of_values("ja3", a.ja3.as_ref(), b.ja3.as_ref()));
        }
    }
    lines.extend(of_values("http2", a.http2.as_ref(), b.http2.as_ref()));
    if let (Some(a), Some(b)) = (&a.headers, &b.headers) {
        let (a, b) = (&a.names, &b.names);
        let names = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|name| !others.contains(name)).cloned().collect()
        };
        lines.extend(of_sets("headers", &names(a, b), &names(b, a), a == b));
    }
    lines
}

fn of_alpn_and_version(a: &Tls, b: &Tls) -> impl Iterator<Item = String> {
    let (left, right) = (&a.lists, &b.lists);
    let names = |tls: &TlsLists| tls.alpn.as_ref().map(|names| names.join(","));
    let ends = |tls: &Tls| tls.ja4.as_ref().map(|ja4| ja4.alpn_ends().to_owned());
    let alpn = if left.alpn.is_some() && right.alpn.is_some() {
        of_values("alpn", names(left), names(right))
    } else {
        of_values("alpn", ends(a), ends(b))
    };
    let version = if left.version.is_some() && right.version.is_some() {
        of_values("version", left.version.as_ref(), right.version.as_ref())
    } else {
        of_values("version", left.legacy_version, right.legacy_version)
    };
    alpn.into_iter().chain(version)
}

fn of_lists(name: &str, a: &List, b: &List) -> Vec<String> {
    let (left, right) = (set(&a.values), set(&b.values));
    let only = |values: &[u16], others: &[u16]| -> Vec<String> {
        let lacking = values.iter().filter(|value| others.binary_search(value).is_err());
        lacking.map(|value| format!("{value:04x}")).collect()
    };
    let same_order = !(a.ordered && b.ordered) || a.values == b.values;
    of_sets(name, &only(&left, &right), &only(&right, &left), same_order)
}

fn of_sets(name: &str, only_a: &[String], only_b: &[String], same_order: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (side, only) in [("a", only_a), ("b", only_b)] {
        if !only.is_empty() {
            let more = only.len().saturating_sub(NAMED);
            let named = only[..only.len() - more].join(", ");
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            lines.push(format!("{name} only in {side}: {named}{rest}"));
        }
    }
    if lines.is_empty() && !same_order {
        lines.push(format!("{name}: the same, in another order"));
    }
    lines
}

fn of_values<T: Display>(name: &str, a: Option<T>, b: Option<T>) -> Option<String> {
    let (a, b) = (a?.to_string(), b?.to_string());
    (a != b).then(|| format!("{name}: {a} in a, {b} in b"))
}

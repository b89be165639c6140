//! Which known clients open connections like this one: the answer to each identification.

use serde::Serialize;

use crate::consistency::{Consistency, Families};
use crate::dataset::{DATASET, DATASET_VERSION, Dataset};
use crate::evidence::{Evidence, Match, Matches};
use crate::likeness::{distinct, set};
use crate::profile::Profile;
use crate::signals::Signals;
use crate::user_agent::Family;

/// How likely it is, before anything is known, that a connection is from a client of the data set, from one unknown here
/// that shares code with one of them, or from neither.
const KNOWN: f64 = 0.7;
const RELATIVE: f64 = 0.2;
const STRANGER: f64 = 0.1;
/// Confidence above which a candidate is worth naming.
const WORTH_NAMING: f64 = 0.005;
/// Never 1: every signal can be imitated.
const MOST_CONFIDENT: f64 = 0.99;
/// A second candidate with at least this share of the first's confidence makes the answer ambiguous.
const AMBIGUOUS_SHARE: f64 = 0.5;

/// A known client that opens connections like this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate<'d> {
    /// Its name in the data set.
    pub client: &'d str,
    /// The versions it was captured in, of those that the evidence fits.
    pub versions: Vec<&'d str>,
    /// How likely it is this client, 0.005 to 0.99; all candidates' together are at most 1, and what is missing is for
    /// clients that the data set doesn't know.
    pub confidence: f64,
    /// What speaks for it.
    pub evidence: Vec<Evidence>,
}

/// The fingerprints that the signals come to; `None` where they don't suffice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Computed {
    /// MD5 of the JA3 string.
    pub ja3: Option<String>,
    /// MD5 of the JA3 string with its extensions sorted.
    pub ja3n: Option<String>,
    /// JA4.
    pub ja4: Option<String>,
    /// The lists of the JA4.
    pub ja4_r: Option<String>,
    /// Akamai's HTTP/2 fingerprint in its normal form.
    pub akamai_h2: Option<String>,
    /// This project's hash of the header order, `hh1_…`.
    pub header_order: Option<String>,
}

/// The answer of [`identify`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identification<'d> {
    /// `fp1_` and 32 hexadecimal digits: the same for the same signals.
    pub fingerprint_id: String,
    /// What the signals come to.
    pub computed: Computed,
    /// Known clients, the likeliest first; empty if none is like it.
    pub candidates: Vec<Candidate<'d>>,
    /// Whether a second candidate is at least half as likely as the first.
    pub ambiguous: bool,
    /// Whether the signals contradict each other.
    pub consistency: Consistency,
    /// Version of the data set.
    pub dataset: &'static str,
}

/// Names the known clients that open connections as `signals` say. A `User-Agent` is a claim and
/// makes no candidate; it is held against them in `consistency`.
#[must_use]
pub fn identify(signals: &Signals) -> Identification<'static> {
    DATASET.identify(signals)
}

impl Dataset {
    /// As [`identify`], among the clients of this data set.
    #[must_use]
    pub fn identify(&self, signals: &Signals) -> Identification<'_> {
        let profile = &signals.profile;
        let Matches {
            all: matches,
            families_alike,
        } = Matches::of(profile, self);
        let unlike = families_alike
            .into_iter()
            .filter(|(_, alike)| *alike < Families::UNLIKE);
        let families = Families {
            tls: families(&matches, Evidence::is_of_tls),
            http2: families(&matches, |one| one == Evidence::AkamaiH2),
            tls_unlike: unlike.map(|(family, _)| family).collect(),
        };
        let candidates = candidates(&matches, &self.names);
        Identification {
            fingerprint_id: profile.id(),
            computed: computed(profile),
            ambiguous: match candidates.as_slice() {
                [first, second, ..] => second.confidence >= AMBIGUOUS_SHARE * first.confidence,
                _ => false,
            },
            consistency: Consistency::of(&families, signals.headers.as_ref(), signals.tls_disagree),
            candidates,
            dataset: DATASET_VERSION,
        }
    }
}

/// The families that evidence of a kind speaks for.
fn families(matches: &[Match], kind: impl Fn(Evidence) -> bool) -> Vec<Family> {
    let speaks = |one: &&Match| one.evidence.iter().any(|evidence| kind(*evidence));
    let families = matches.iter().filter(speaks).filter_map(|one| one.signature.family);
    set(&families.collect::<Vec<_>>())
}

/// Bayes' rule over the clients of the data set, a relative of each, and strangers. A client is as likely as any other
/// beforehand, and counts by the version that fits best; each way in which a version opens connections, as often as it
/// was seen.
fn candidates<'d>(matches: &[Match<'d>], names: &'d [(String, String)]) -> Vec<Candidate<'d>> {
    let mut versions = vec![(0.0, 0.0); names.len()];
    for Match {
        standing, likelihoods, ..
    } in matches
    {
        let (known, relative) = &mut versions[standing.name];
        *known += standing.share * KNOWN * likelihoods.iter().map(|one| one.client).product::<f64>();
        *relative += standing.share * RELATIVE * likelihoods.iter().map(|one| one.relative).product::<f64>();
    }
    let mut clients: Vec<(&str, f64, f64)> = Vec::new();
    for ((client, _), (known, relative)) in names.iter().zip(versions) {
        match clients.last_mut() {
            Some((last, most_known, most_relative)) if last == client => {
                *most_known = most_known.max(known);
                *most_relative = most_relative.max(relative);
            }
            _ => clients.push((client, known, relative)),
        }
    }
    let each = 1.0 / f64::from(u32::try_from(clients.len().max(1)).unwrap_or(u32::MAX));
    let likely = clients.iter().map(|(_, known, relative)| each * (known + relative));
    let total = likely.sum::<f64>() + STRANGER * stranger(matches);
    let candidates = clients.iter().filter_map(|(client, known, _)| {
        let confidence = (each * known / total).min(MOST_CONFIDENT);
        let of_client = || matches.iter().filter(|one| one.signature.client == *client);
        let fitting = || of_client().filter(|one| !one.evidence.is_empty());
        (confidence >= WORTH_NAMING && fitting().next().is_some()).then(|| Candidate {
            client,
            versions: distinct(&fitting().map(|one| one.signature.version.as_str()).collect::<Vec<_>>()),
            confidence: (confidence * 1000.0).round() / 1000.0,
            evidence: set(&fitting().flat_map(|one| one.evidence.clone()).collect::<Vec<_>>()),
        })
    });
    let mut candidates: Vec<Candidate> = candidates.collect();
    candidates.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then_with(|| a.client.cmp(b.client))
    });
    candidates
}

/// How likely the signals are from somebody unrelated: for each, by the match that fits it best.
fn stranger(matches: &[Match]) -> f64 {
    let signals = matches.first().map_or(0, |one| one.likelihoods.len());
    let least = |signal: usize| {
        let of_matches = matches.iter().map(|one| one.likelihoods[signal].stranger);
        of_matches.fold(1.0, f64::min)
    };
    (0..signals).map(least).product()
}

fn computed(profile: &Profile) -> Computed {
    let tls = profile.tls.as_ref();
    Computed {
        ja3: tls.and_then(|tls| tls.ja3.clone()),
        ja3n: tls.and_then(|tls| tls.ja3n.clone()),
        ja4: tls.and_then(|tls| tls.ja4.as_ref()).map(ToString::to_string),
        ja4_r: tls.and_then(|tls| tls.ja4_r.as_ref()).map(ToString::to_string),
        akamai_h2: profile.http2.as_ref().map(ToString::to_string),
        header_order: profile.headers.as_ref().map(|order| order.hash.clone()),
    }
}

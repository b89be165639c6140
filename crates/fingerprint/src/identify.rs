//! Which known clients open connections like this one.

use serde::Serialize;

use crate::consistency::{Consistency, Families};
use crate::dataset::{DATASET, DATASET_VERSION, Signature};
use crate::profile::{Profile, Tls};
use crate::signals::Signals;
use crate::similarity::tls_nearly;
use crate::user_agent::Family;

/// What speaks for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The JA4 is the client's.
    Ja4,
    /// Ciphers, extensions and signature algorithms are the client's by the hashes of the JA4; only
    /// the named server or ALPN differs.
    Ja4Bc,
    /// The JA3 is the client's.
    Ja3,
    /// The JA3N is the client's.
    Ja3n,
    /// The TLS lists are nearly the client's: another version of it, or the same with other settings.
    TlsLists,
    /// Akamai's HTTP/2 fingerprint is the client's.
    AkamaiH2,
    /// The names of the headers and their order are the client's.
    HeaderOrder,
}

/// The three kinds of signal, each of which speaks once, by its best evidence.
const KINDS: [&[Evidence]; 3] = [
    &[
        Evidence::Ja4,
        Evidence::Ja3,
        Evidence::Ja3n,
        Evidence::Ja4Bc,
        Evidence::TlsLists,
    ],
    &[Evidence::AkamaiH2],
    &[Evidence::HeaderOrder],
];
/// From this likeness of TLS lists on, a client is a candidate.
const NEARLY: f64 = 0.9;
/// What is left of the confidence in a candidate of whom another signal is known and differs.
const CONTRADICTED: f64 = 0.5;
/// A second candidate with at least this share of the first's confidence makes the answer ambiguous.
const AMBIGUOUS_SHARE: f64 = 0.5;

impl Evidence {
    /// How sure it makes by itself, if only one client were known to give it. Never 1: every signal
    /// can be imitated.
    const fn strength(self) -> f64 {
        match self {
            Self::Ja4 | Self::Ja3 | Self::Ja3n => 0.9,
            Self::Ja4Bc | Self::AkamaiH2 => 0.8,
            Self::TlsLists => 0.5,
            Self::HeaderOrder => 0.4,
        }
    }
}

/// A known client that opens connections like this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name in the data set.
    pub client: &'static str,
    /// The versions it was captured in, of those that the evidence fits.
    pub versions: Vec<&'static str>,
    /// Above 0 and below 1, among the clients of the data set.
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
pub struct Identification {
    /// `fp1_` and 32 hexadecimal digits: the same for the same signals.
    pub fingerprint_id: String,
    /// What the signals come to.
    pub computed: Computed,
    /// Known clients, the likeliest first; empty if none is like it.
    pub candidates: Vec<Candidate>,
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
pub fn identify(signals: &Signals) -> Identification {
    let profile = &signals.profile;
    let matches = matches(profile);
    let families = Families {
        tls: families(&matches, KINDS[0]),
        http2: families(&matches, KINDS[1]),
    };
    let candidates = candidates(profile, &matches);
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

struct Match {
    signature: &'static Signature,
    evidence: Vec<Evidence>,
}

fn matches(profile: &Profile) -> Vec<Match> {
    let mut matches: Vec<Match> = DATASET
        .signatures
        .iter()
        .map(|signature| Match {
            signature,
            evidence: exact(profile, &signature.profile),
        })
        .collect();
    let by_tls = |one: &Match| one.evidence.iter().any(|evidence| KINDS[0].contains(evidence));
    if let Some(tls) = &profile.tls
        && !matches.iter().any(by_tls)
    {
        for one in &mut matches {
            let known = one.signature.profile.tls.as_ref();
            if known.is_some_and(|known| tls_nearly(tls, known, NEARLY)) {
                one.evidence.insert(0, Evidence::TlsLists);
            }
        }
    }
    matches.retain(|one| !one.evidence.is_empty());
    matches
}

fn exact(profile: &Profile, known: &Profile) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    if let (Some(tls), Some(known)) = (&profile.tls, &known.tls) {
        evidence.extend(exact_tls(tls, known));
    }
    if profile.http2.is_some() && profile.http2 == known.http2 {
        evidence.push(Evidence::AkamaiH2);
    }
    if profile.headers.is_some() && profile.headers == known.headers {
        evidence.push(Evidence::HeaderOrder);
    }
    evidence
}

fn exact_tls(tls: &Tls, known: &Tls) -> Vec<Evidence> {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let mut evidence = Vec::new();
    if let (Some(ja4), Some(known)) = (&tls.ja4, &known.ja4) {
        if ja4 == known {
            evidence.push(Evidence::Ja4);
        } else if ja4.b() == known.b() && ja4.c() == known.c() {
            evidence.push(Evidence::Ja4Bc);
        }
    }
    if same(&tls.ja3, &known.ja3) {
        evidence.push(Evidence::Ja3);
    }
    if same(&tls.ja3n, &known.ja3n) {
        evidence.push(Evidence::Ja3n);
    }
    evidence
}

fn families(matches: &[Match], kind: &[Evidence]) -> Vec<Family> {
    let mut families = Vec::new();
    for one in matches {
        if let Some(family) = one.signature.family
            && !families.contains(&family)
            && one.evidence.iter().any(|evidence| kind.contains(evidence))
        {
            families.push(family);
        }
    }
    families
}

fn candidates(profile: &Profile, matches: &[Match]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for Match { signature, evidence } in matches {
        let index = candidates.iter().position(|known| known.client == signature.client);
        let index = index.unwrap_or_else(|| {
            candidates.push(Candidate {
                client: &signature.client,
                versions: Vec::new(),
                confidence: 0.0,
                evidence: Vec::new(),
            });
            candidates.len() - 1
        });
        let candidate = &mut candidates[index];
        if !candidate.versions.contains(&signature.version.as_str()) {
            candidate.versions.push(&signature.version);
        }
        candidate.evidence.extend(evidence);
        candidate.evidence.sort_unstable();
        candidate.evidence.dedup();
    }
    let confidences: Vec<f64> = candidates
        .iter()
        .map(|candidate| confidence(candidate, &candidates, profile))
        .collect();
    for (candidate, confidence) in candidates.iter_mut().zip(confidences) {
        candidate.confidence = (confidence * 1000.0).round() / 1000.0;
    }
    candidates.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then_with(|| a.client.cmp(b.client))
    });
    candidates
}

/// Each kind of signal speaks by its best evidence, shared among the clients that give the same;
/// the kinds are taken as independent.
fn confidence(candidate: &Candidate, all: &[Candidate], profile: &Profile) -> f64 {
    let known = [
        profile.tls.is_some(),
        profile.http2.is_some(),
        profile.headers.is_some(),
    ];
    let mut doubt = 1.0;
    let mut contradictions = 0;
    for (kind, known) in KINDS.iter().zip(known) {
        let best = kind.iter().find(|evidence| candidate.evidence.contains(evidence));
        match best {
            Some(best) => {
                let sharers = all.iter().filter(|other| other.evidence.contains(best)).count();
                // At least the candidate itself gives it, and the data set holds few clients.
                let sharers = f64::from(u32::try_from(sharers).unwrap_or(u32::MAX));
                doubt *= 1.0 - best.strength() / sharers;
            }
            // Headers depend on the request too, so that other headers speak against nobody.
            None if known && *kind != KINDS[2] => contradictions += 1,
            None => {}
        }
    }
    (1.0 - doubt) * CONTRADICTED.powi(contradictions)
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

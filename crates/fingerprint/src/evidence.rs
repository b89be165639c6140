//! What speaks for a known client, and how much: the likelihoods behind a confidence. An identification holds each
//! client of the data set against the one in question.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dataset::{Dataset, Signature, Standing};
use crate::profile::{HeaderOrder, Profile, Tls};
use crate::similarity::{names_likeness, tls_likeness};
use crate::user_agent::Family;

/// What speaks for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The JA4 is the client's.
    Ja4,
    /// Ciphers, extensions and signature algorithms are the client's by the hashes of the JA4; its
    /// first section differs, as it does by the named server or ALPN.
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

impl Evidence {
    /// Whether it is one of TLS.
    pub(crate) const fn is_of_tls(self) -> bool {
        !matches!(self, Self::AkamaiH2 | Self::HeaderOrder)
    }
}

/// From this likeness of TLS lists on, a client is a candidate, unless another is nearer by more than [`NEARER`]. Chrome
/// 143 is 0.86 like Chromium 156 and 0.78 like Firefox.
const NEARLY: f64 = 0.8;
const NEARER: f64 = 0.05;
/// From this likeness of names on, headers may be the client's in another request.
const NEARLY_HEADERS: f64 = 0.7;

/// How likely one signal is to be as it is, by who sent it. The figures are set by hand so that confidences hold on the
/// captures, runs and whole clients held out; `tests/hold_out.rs` shows how well they do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Likelihood {
    /// The known client sent it, in a version or with settings that were captured or not.
    pub(crate) client: f64,
    /// A client unknown here sent it that is built on the same code: Edge beside Chromium, an HTTP library beside
    /// another over the same TLS library.
    pub(crate) relative: f64,
    /// Neither.
    pub(crate) stranger: f64,
}

const fn likelihood(client: f64, relative: f64, stranger: f64) -> Likelihood {
    Likelihood {
        client,
        relative,
        stranger,
    }
}

const TLS_SAME: Likelihood = likelihood(0.9, 0.2, 0.001);
/// The same JA4 in an order that the client, which shuffles nothing, was never seen to use.
const TLS_OTHER_ORDER: Likelihood = likelihood(0.02, 0.1, 0.01);
const TLS_BC: Likelihood = likelihood(0.05, 0.1, 0.005);
const TLS_NEAR: Likelihood = likelihood(0.1, 0.2, 0.01);
const TLS_OTHER: Likelihood = likelihood(0.001, 0.01, 0.5);
const HTTP2_SAME: Likelihood = likelihood(0.9, 0.4, 0.01);
const HTTP2_OTHER: Likelihood = likelihood(0.01, 0.2, 0.5);
const HEADERS_SAME: Likelihood = likelihood(0.6, 0.2, 0.01);
const HEADERS_NEAR: Likelihood = likelihood(0.2, 0.2, 0.05);
/// Headers depend on the request too, so that others speak little against a client.
const HEADERS_OTHER: Likelihood = likelihood(0.1, 0.3, 0.5);

/// One known way to open a connection, held against the one in question.
pub(crate) struct Match<'d> {
    pub(crate) signature: &'d Signature,
    pub(crate) standing: &'d Standing,
    pub(crate) evidence: Vec<Evidence>,
    /// Of each signal that was given.
    pub(crate) likelihoods: Vec<Likelihood>,
}

impl<'d> Match<'d> {
    /// By fingerprints that are the same, and by how near each of the data set's header orders is.
    fn of(
        profile: &Profile,
        (signature, standing): (&'d Signature, &'d Standing),
        headers: Option<&[Nearness]>,
        dataset: &Dataset,
    ) -> Self {
        let known = &signature.profile;
        let (mut evidence, mut likelihoods) = (Vec::new(), Vec::new());
        if let Some(tls) = &profile.tls {
            evidence = known.tls.as_ref().map_or(evidence, |known| tls_evidence(tls, known));
            likelihoods.push(tls_found(&evidence, tls, signature, dataset));
        }
        if profile.http2.is_some() {
            if profile.http2 == known.http2 {
                evidence.push(Evidence::AkamaiH2);
                likelihoods.push(HTTP2_SAME);
            } else {
                likelihoods.push(HTTP2_OTHER);
            }
        }
        if let Some(headers) = headers {
            likelihoods.push(match standing.header_order.map(|known| headers[known]) {
                Some(Nearness::Same) => {
                    evidence.push(Evidence::HeaderOrder);
                    HEADERS_SAME
                }
                Some(Nearness::Near) => HEADERS_NEAR,
                Some(Nearness::Other) | None => HEADERS_OTHER,
            });
        }
        Self {
            signature,
            standing,
            evidence,
            likelihoods,
        }
    }

    fn is_by_tls(&self) -> bool {
        self.evidence.iter().any(|one| one.is_of_tls())
    }
}

/// How near an order of headers is to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nearness {
    Same,
    Near,
    Other,
}

fn nearness(headers: &HeaderOrder, known: &HeaderOrder) -> Nearness {
    // They share at most the names of the one that has fewer: most are told apart by that.
    let most = f64::from(headers.different.min(known.different)) / f64::from(headers.different.max(known.different));
    if headers == known {
        Nearness::Same
    } else if most >= NEARLY_HEADERS && names_likeness(&known.names, &headers.names) >= NEARLY_HEADERS {
        Nearness::Near
    } else {
        Nearness::Other
    }
}

/// What is known, held against a connection.
pub(crate) struct Matches<'d> {
    pub(crate) all: Vec<Match<'d>>,
    /// Where no TLS fingerprint is the same and the lists are known: how alike those of each family are at most.
    pub(crate) families_alike: BTreeMap<Family, f64>,
}

impl<'d> Matches<'d> {
    pub(crate) fn of(profile: &Profile, dataset: &'d Dataset) -> Self {
        let signatures = dataset.signatures.iter().zip(&dataset.standings);
        let headers = profile.headers.as_ref().map(|headers| {
            let known = dataset.header_orders.iter();
            known.map(|known| nearness(headers, known)).collect::<Vec<_>>()
        });
        let headers = headers.as_deref();
        let mut matches = Self {
            all: signatures
                .map(|known| Match::of(profile, known, headers, dataset))
                .collect(),
            families_alike: BTreeMap::new(),
        };
        if let Some(tls) = &profile.tls
            && !matches.all.iter().any(Match::is_by_tls)
        {
            matches.add_nearest(tls, dataset);
        }
        matches
    }

    fn add_nearest(&mut self, tls: &Tls, dataset: &Dataset) {
        let likeness = |one: &Match| tls_likeness(tls, one.signature.profile.tls.as_ref()?, dataset);
        let alike: Vec<Option<f64>> = self.all.iter().map(likeness).collect();
        let most = alike.iter().flatten().copied().fold(0.0, f64::max);
        for (one, alike) in self.all.iter_mut().zip(alike) {
            // Hashes can't be nearly the same.
            let Some(alike) = alike else { continue };
            if alike >= NEARLY.max(most - NEARER) {
                one.evidence.insert(0, Evidence::TlsLists);
                one.likelihoods[0] = TLS_NEAR;
            }
            if let Some(family) = one.signature.family {
                let nearest = self.families_alike.entry(family).or_default();
                *nearest = nearest.max(alike);
            }
        }
    }
}

fn tls_evidence(tls: &Tls, known: &Tls) -> Vec<Evidence> {
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

fn tls_found(evidence: &[Evidence], tls: &Tls, signature: &Signature, dataset: &Dataset) -> Likelihood {
    let has = |one| evidence.contains(&one);
    let other_order = || tls.ja3.is_some() && !has(Evidence::Ja3) && !dataset.shuffles(&signature.client);
    if has(Evidence::Ja4) {
        if other_order() { TLS_OTHER_ORDER } else { TLS_SAME }
    } else if has(Evidence::Ja4Bc) {
        TLS_BC
    } else if has(Evidence::Ja3) {
        TLS_SAME
    } else if has(Evidence::Ja3n) {
        if other_order() { TLS_OTHER_ORDER } else { TLS_SAME }
    } else {
        TLS_OTHER
    }
}

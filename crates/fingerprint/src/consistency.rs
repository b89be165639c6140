//! Whether the signals of one client tell one story: the last step of an identification.

use serde::Serialize;

use crate::headers::Headers;
use crate::user_agent::{Family, UserAgent};

/// A contradiction between two signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The `User-Agent` claims a family that no candidate by TLS belongs to, or, where there is no candidate, whose own
    /// way to open TLS is quite another.
    UaTlsMismatch,
    /// The `User-Agent` claims a family that no candidate by HTTP/2 belongs to.
    UaH2Mismatch,
    /// The `User-Agent` and the client hints (`sec-ch-ua…`) claim different browsers, versions,
    /// platforms or forms.
    UaHintsMismatch,
    /// The client hints claim a Chromium, and TLS or HTTP/2 speaks against it, as in [`Self::UaTlsMismatch`] and
    /// [`Self::UaH2Mismatch`].
    HintsTlsMismatch,
    /// The `User-Agent` claims a Chromium that sends client hints, and none came.
    UaHintsMissing,
    /// There are headers, but no `User-Agent`, or a blank one.
    UaMissing,
    /// No client is a candidate both by TLS and by HTTP/2.
    TlsH2Mismatch,
    /// Two TLS signals of one request, such as a hello and a JA4, can't both be true.
    TlsSignalsDisagree,
}

impl Flag {
    /// Every flag, for documentation and the test that holds the two together.
    pub const ALL: [Self; 8] = [
        Self::UaTlsMismatch,
        Self::UaH2Mismatch,
        Self::UaHintsMismatch,
        Self::HintsTlsMismatch,
        Self::UaHintsMissing,
        Self::UaMissing,
        Self::TlsH2Mismatch,
        Self::TlsSignalsDisagree,
    ];

    /// What the flag takes off the score.
    const fn penalty(self) -> f64 {
        match self {
            Self::UaTlsMismatch => 0.6,
            Self::UaH2Mismatch | Self::TlsSignalsDisagree => 0.5,
            Self::UaHintsMismatch | Self::HintsTlsMismatch | Self::TlsH2Mismatch => 0.4,
            Self::UaHintsMissing => 0.2,
            Self::UaMissing => 0.1,
        }
    }
}

/// How well the signals agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Consistency {
    /// 1 where nothing contradicts, 0 at worst.
    pub score: f64,
    /// The contradictions found, each once.
    pub flags: Vec<Flag>,
}

/// The families that each kind of signal speaks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Families {
    pub(crate) tls: Vec<Family>,
    pub(crate) http2: Vec<Family>,
    /// Where TLS speaks for none: those whose captured ways to open it are all quite unlike this one.
    pub(crate) tls_unlike: Vec<Family>,
}

impl Families {
    /// Below this likeness of TLS lists no other version of a client explains the difference.
    pub(crate) const UNLIKE: f64 = 0.5;

    /// Whether TLS speaks against a claim to be of this family.
    fn tls_refutes(&self, claimed: Family) -> bool {
        if self.tls.is_empty() {
            self.tls_unlike.contains(&claimed)
        } else {
            !self.tls.contains(&claimed)
        }
    }

    /// Whether HTTP/2 speaks against a claim to be of this family.
    fn http2_refutes(&self, claimed: Family) -> bool {
        !self.http2.is_empty() && !self.http2.contains(&claimed)
    }
}

/// Since this version every Chromium sends `sec-ch-ua` over TLS.
const HINTS_SINCE: u32 = 89;

impl Consistency {
    pub(crate) fn of(families: &Families, headers: Option<&Headers>, tls_disagree: bool) -> Self {
        let mut flags = Vec::new();
        let Families { tls, http2, .. } = families;
        if let Some(headers) = headers {
            match headers.get("user-agent").filter(|text| !text.trim().is_empty()) {
                Some(text) => {
                    let agent = UserAgent::parse(text);
                    flags.extend(against_candidates(agent, families));
                    flags.extend(against_hints(agent, headers, !tls.is_empty() || !http2.is_empty()));
                }
                None => flags.push(Flag::UaMissing),
            }
            let hinted = headers.get("sec-ch-ua").is_some();
            if hinted && (families.tls_refutes(Family::Chromium) || families.http2_refutes(Family::Chromium)) {
                flags.push(Flag::HintsTlsMismatch);
            }
        }
        if !tls.is_empty() && !http2.is_empty() && !tls.iter().any(|family| http2.contains(family)) {
            flags.push(Flag::TlsH2Mismatch);
        }
        if tls_disagree {
            flags.push(Flag::TlsSignalsDisagree);
        }
        let penalty: f64 = flags.iter().map(|flag| flag.penalty()).sum();
        Self {
            score: ((1.0 - penalty).max(0.0) * 100.0).round() / 100.0,
            flags,
        }
    }
}

fn against_candidates(agent: UserAgent, families: &Families) -> impl Iterator<Item = Flag> {
    let refuted = |by: fn(&Families, Family) -> bool| agent.family.is_some_and(|claimed| by(families, claimed));
    let tls = refuted(Families::tls_refutes).then_some(Flag::UaTlsMismatch);
    let http2 = refuted(Families::http2_refutes).then_some(Flag::UaH2Mismatch);
    tls.into_iter().chain(http2)
}

fn against_hints(agent: UserAgent, headers: &Headers, over_tls: bool) -> Option<Flag> {
    let chromium = agent.family == Some(Family::Chromium);
    let Some(brands) = headers.get("sec-ch-ua") else {
        let expected = chromium && agent.major.is_some_and(|major| major >= HINTS_SINCE);
        return (expected && over_tls).then_some(Flag::UaHintsMissing);
    };
    let versions = brand_versions(brands);
    let other_version = |major: u32| !versions.is_empty() && !versions.contains(&major);
    let platform = headers.get("sec-ch-ua-platform").map(|text| text.trim_matches('"'));
    let other_platform = |claimed: &str| platform.is_some_and(|hinted| hinted != claimed);
    let mobile = headers.get("sec-ch-ua-mobile").map(|text| text == "?1");
    let contradicts = !chromium
        || agent.major.is_some_and(other_version)
        || agent.platform.is_some_and(other_platform)
        || mobile.is_some_and(|mobile| mobile != agent.mobile);
    contradicts.then_some(Flag::UaHintsMismatch)
}

/// The versions in a `sec-ch-ua`: `"Chromium";v="156", "Not A(Brand";v="24"`. The engine's is among
/// them; which one it is depends on the brand.
fn brand_versions(brands: &str) -> Vec<u32> {
    let versions = brands
        .split(';')
        .filter_map(|part| part.trim_start().strip_prefix("v=\""));
    versions
        .filter_map(|part| part.split('"').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    const HINTS: &str = "\"Not A(Brand\";v=\"24\", \"Chromium\";v=\"156\"";

    fn flags(tls: &[Family], http2: &[Family], headers: &[(&str, &str)]) -> Vec<Flag> {
        let pairs = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers = Headers::new(pairs.collect()).unwrap();
        let families = Families {
            tls: tls.to_vec(),
            http2: http2.to_vec(),
            tls_unlike: vec![Family::Firefox],
        };
        Consistency::of(&families, Some(&headers), false).flags
    }

    #[test]
    fn a_claim_no_candidate_bears_out() {
        let chrome = [("user-agent", CHROME), ("sec-ch-ua", HINTS)];
        assert_eq!(flags(&[Family::Chromium], &[], &chrome), []);
        assert_eq!(
            flags(&[Family::Curl, Family::Python], &[], &chrome),
            [Flag::UaTlsMismatch, Flag::HintsTlsMismatch]
        );
        assert_eq!(
            flags(&[Family::Chromium], &[Family::Go], &chrome),
            [Flag::UaH2Mismatch, Flag::HintsTlsMismatch, Flag::TlsH2Mismatch]
        );
        let firefox = [(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
        )];
        assert_eq!(flags(&[], &[], &firefox), [Flag::UaTlsMismatch]);
        assert_eq!(flags(&[], &[], &chrome), []);
        assert_eq!(flags(&[Family::Curl], &[], &[("user-agent", "unheard/1")]), []);
    }

    #[test]
    fn hints_against_the_user_agent() {
        let with = |name: &'static str, value: &'static str| {
            flags(
                &[Family::Chromium],
                &[],
                &[("user-agent", CHROME), ("sec-ch-ua", HINTS), (name, value)],
            )
        };
        assert_eq!(with("sec-ch-ua-platform", "\"Linux\""), []);
        assert_eq!(with("sec-ch-ua-mobile", "?0"), []);
        assert_eq!(with("sec-ch-ua-platform", "\"Windows\""), [Flag::UaHintsMismatch]);
        assert_eq!(with("sec-ch-ua-mobile", "?1"), [Flag::UaHintsMismatch]);
        let older = [("user-agent", CHROME), ("sec-ch-ua", "\"Chromium\";v=\"140\"")];
        assert_eq!(flags(&[], &[], &older), [Flag::UaHintsMismatch]);
        let spaced = [
            ("user-agent", CHROME),
            ("sec-ch-ua", "\"Not;A=Brand\"; v=\"8\", \"Chromium\"; v=\"140\""),
        ];
        assert_eq!(flags(&[], &[], &spaced), [Flag::UaHintsMismatch]);
        let curl = [("user-agent", "curl/8"), ("sec-ch-ua", HINTS)];
        assert_eq!(flags(&[], &[], &curl), [Flag::UaHintsMismatch]);
        assert_eq!(
            flags(&[Family::Chromium], &[], &[("user-agent", CHROME)]),
            [Flag::UaHintsMissing]
        );
        assert_eq!(flags(&[], &[], &[("user-agent", CHROME)]), []);
    }

    #[test]
    fn scores_fall_with_each_flag() {
        let none = Headers::new(Vec::new()).unwrap();
        let nothing = Families::default();
        assert_eq!(
            Consistency::of(&nothing, None, false),
            Consistency {
                score: 1.0,
                flags: vec![]
            }
        );
        let missing = Consistency::of(&nothing, Some(&none), true);
        assert_eq!(missing.flags, [Flag::UaMissing, Flag::TlsSignalsDisagree]);
        assert_eq!(flags(&[], &[], &[("user-agent", " ")]), [Flag::UaMissing]);
        assert!((missing.score - 0.4).abs() < 1e-9);
    }
}

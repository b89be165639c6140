//! What a `User-Agent` claims: enough of it to hold against the other signals of an identification.

use std::fmt;

/// Clients whose connections look alike because one code base opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Chromium and what is built on it: Chrome, Edge, Opera, Brave.
    Chromium,
    /// Firefox on its own engine.
    Firefox,
    /// Safari, and every browser on iOS.
    Safari,
    /// curl.
    Curl,
    /// wget and wget2.
    Wget,
    /// Node's own clients and what is built on them.
    Node,
    /// Python's `ssl` and what is built on it.
    Python,
    /// Go's `crypto/tls`.
    Go,
    /// Java's own clients.
    Java,
    /// `OpenSSL`'s `s_client`.
    OpenSsl,
    /// `GnuTLS`'s `gnutls-cli`.
    GnuTls,
    /// Rust's clients over rustls.
    Rust,
}

impl Family {
    const ALL: [Self; 12] = [
        Self::Chromium,
        Self::Firefox,
        Self::Safari,
        Self::Curl,
        Self::Wget,
        Self::Node,
        Self::Python,
        Self::Go,
        Self::Java,
        Self::OpenSsl,
        Self::GnuTls,
        Self::Rust,
    ];

    /// The name used in the data set.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Safari => "safari",
            Self::Curl => "curl",
            Self::Wget => "wget",
            Self::Node => "node",
            Self::Python => "python",
            Self::Go => "go",
            Self::Java => "java",
            Self::OpenSsl => "openssl",
            Self::GnuTls => "gnutls",
            Self::Rust => "rust",
        }
    }

    /// The family a client of the data set belongs to: the letters its name starts with.
    #[must_use]
    pub fn of_client(client: &str) -> Option<Self> {
        let head = client.split(|letter: char| !letter.is_ascii_alphabetic()).next()?;
        Self::ALL.into_iter().find(|family| family.as_str() == head)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The claims of one `User-Agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserAgent {
    /// The family it names, if it is one of those known here.
    pub family: Option<Family>,
    /// Its major version, for Chromium and Firefox.
    pub major: Option<u32>,
    /// The platform it names, spelled as `sec-ch-ua-platform` spells it.
    pub platform: Option<&'static str>,
    /// Whether it says `Mobile`.
    pub mobile: bool,
}

/// Marks of a family; the first that is found decides, so the more telling stand first: browsers
/// on iOS carry Safari's engine, and Chromium's `User-Agent` names Safari.
const CONTAINED: [(&str, Family); 9] = [
    ("FxiOS/", Family::Safari),
    ("CriOS/", Family::Safari),
    ("EdgiOS/", Family::Safari),
    ("Firefox/", Family::Firefox),
    ("HeadlessChrome/", Family::Chromium),
    ("Chrome/", Family::Chromium),
    ("Chromium/", Family::Chromium),
    ("python-requests/", Family::Python),
    ("Safari/", Family::Safari),
];
const LEADING: [(&str, Family); 16] = [
    ("curl/", Family::Curl),
    ("Wget", Family::Wget),
    ("node", Family::Node),
    ("undici", Family::Node),
    ("axios/", Family::Node),
    ("got ", Family::Node),
    ("Python", Family::Python),
    ("python", Family::Python),
    ("aiohttp", Family::Python),
    ("Go-http-client/", Family::Go),
    ("Java/", Family::Java),
    ("Java-http-client/", Family::Java),
    ("Apache-HttpClient/", Family::Java),
    ("OpenSSL", Family::OpenSsl),
    ("reqwest", Family::Rust),
    ("ureq/", Family::Rust),
];
/// Android and Chrome OS name Linux or X11 too, so they stand first.
const PLATFORMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("CrOS", "Chrome OS"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

impl UserAgent {
    /// Reads the claims of a `User-Agent` header's value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let leading = LEADING.iter().find(|(mark, _)| text.starts_with(mark));
        let contained = CONTAINED.iter().find(|(mark, _)| text.contains(mark));
        let family = leading.or(contained).map(|(_, family)| *family);
        Self {
            family,
            major: match (family, contained) {
                (Some(Family::Chromium | Family::Firefox), Some((mark, _))) => major(text, mark),
                _ => None,
            },
            platform: PLATFORMS
                .iter()
                .find(|(mark, _)| text.contains(mark))
                .map(|(_, platform)| *platform),
            mobile: text.contains("Mobile"),
        }
    }
}

fn major(text: &str, mark: &str) -> Option<u32> {
    let (_, version) = text.split_once(mark)?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_common_agents() {
        for (text, family, major) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36",
                Some(Family::Chromium),
                Some(156),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/155.0.0.0 Safari/537.36 Edg/155.0.0.0",
                Some(Family::Chromium),
                Some(155),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
                Some(Family::Firefox),
                Some(153),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
                Some(Family::Safari),
                None,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/155.0 Mobile/15E148 Safari/604.1",
                Some(Family::Safari),
                None,
            ),
            ("curl/7.88.1", Some(Family::Curl), None),
            ("Wget/1.21.3", Some(Family::Wget), None),
            ("node", Some(Family::Node), None),
            ("axios/1.7.0", Some(Family::Node), None),
            ("Python-urllib/3.11", Some(Family::Python), None),
            ("python-requests/2.33", Some(Family::Python), None),
            ("Go-http-client/2.0", Some(Family::Go), None),
            ("Java-http-client/17.0.15", Some(Family::Java), None),
            ("SomethingElse/1", None, None),
            ("", None, None),
        ] {
            let agent = UserAgent::parse(text);
            assert_eq!((agent.family, agent.major), (family, major), "{text}");
        }
    }

    #[test]
    fn platforms_as_client_hints_spell_them() {
        let agent = UserAgent::parse("Mozilla/5.0 (Linux; Android 16) Chrome/155.0 Mobile Safari/537.36");
        assert_eq!(agent.platform, Some("Android"));
        assert!(agent.mobile);
        assert_eq!(
            UserAgent::parse("Mozilla/5.0 (Windows NT 10.0)").platform,
            Some("Windows")
        );
    }

    #[test]
    fn clients_of_the_data_set_have_families() {
        assert_eq!(Family::of_client("python-requests"), Some(Family::Python));
        assert_eq!(Family::of_client("wget2"), Some(Family::Wget));
        assert_eq!(Family::of_client("unheard"), None);
        assert!(
            Family::ALL
                .iter()
                .all(|family| Family::of_client(&family.to_string()) == Some(*family))
        );
    }
}

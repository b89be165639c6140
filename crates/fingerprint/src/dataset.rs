//! The data set: how real clients were seen to open connections, captured by `capture/`. Read once, at the first call.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::akamai::Akamai;
use crate::error::{Error, ErrorCode};
use crate::headers::Headers;
use crate::likeness::{distinct, set};
use crate::profile::{HeaderOrder, Profile, Tls};
use crate::signals::lists;
use crate::user_agent::Family;

/// Year and month of the last capture.
pub const DATASET_VERSION: &str = "2026.11";

const FILES: [&str; 23] = [
    include_str!("../data/chromium.json"),
    include_str!("../data/curl.json"),
    include_str!("../data/curl-http1.json"),
    include_str!("../data/firefox.json"),
    include_str!("../data/gnutls.json"),
    include_str!("../data/go.json"),
    include_str!("../data/java.json"),
    include_str!("../data/node-fetch.json"),
    include_str!("../data/node-http2.json"),
    include_str!("../data/node-https.json"),
    include_str!("../data/node-undici.json"),
    include_str!("../data/node-undici-h2.json"),
    include_str!("../data/openssl.json"),
    include_str!("../data/python-aiohttp.json"),
    include_str!("../data/python-httpx.json"),
    include_str!("../data/python-httpx-h2.json"),
    include_str!("../data/python-requests.json"),
    include_str!("../data/python-ssl.json"),
    include_str!("../data/python-urllib.json"),
    include_str!("../data/rust-reqwest.json"),
    include_str!("../data/rust-ureq.json"),
    include_str!("../data/wget.json"),
    include_str!("../data/wget2.json"),
];

/// A way to open a connection as it is stored. `sni` and `client_hello` say the same as the lists and are held
/// against them by the tests.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) client: String,
    pub(crate) version: String,
    tls: Map<String, Value>,
    runs: NonZeroU32,
    akamai_h2: Option<String>,
    headers: Option<Vec<(String, String)>>,
}

/// One way a client was seen to open a connection.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) client: String,
    pub(crate) version: String,
    pub(crate) family: Option<Family>,
    /// How many runs of the client were seen to be this way.
    runs: u32,
    pub(crate) profile: Profile,
}

impl Signature {
    /// The client and its version.
    pub(crate) fn name(&self) -> (&str, &str) {
        (&self.client, &self.version)
    }
}

/// Where a signature stands among the others, so that an identification need not look that up.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Which of [`Dataset::names`] is its name.
    pub(crate) name: usize,
    /// The part of the runs of its name that were seen to be this way.
    pub(crate) share: f64,
    /// Which of [`Dataset::header_orders`] is its own.
    pub(crate) header_order: Option<usize>,
}

/// Which of the lists a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    Ciphers,
    Extensions,
    Groups,
    SignatureAlgorithms,
}

/// Known clients, by how they were seen to open connections.
#[derive(Debug)]
pub struct Dataset {
    pub(crate) signatures: Vec<Signature>,
    /// Of each signature.
    pub(crate) standings: Vec<Standing>,
    /// Clients and their versions, ascending, each once.
    pub(crate) names: Vec<(String, String)>,
    /// Orders of headers, each once: many clients have the same.
    pub(crate) header_orders: Vec<HeaderOrder>,
    /// Clients whose JA3 is another in every run: they draw the order of their extensions.
    shuffling: Vec<String>,
    /// How much each value weighs, in ascending order of the values.
    weights: Vec<((Section, u16), f64)>,
    /// How much a value weighs that no client here sends.
    weight_of_unknown: f64,
}

/// The embedded data set. Its files are part of the crate, so that a fault in one is a fault of the build, which every
/// test finds.
pub(crate) static DATASET: LazyLock<Dataset> = LazyLock::new(|| {
    let rows = FILES
        .into_iter()
        .flat_map(|file| serde_json::from_str::<Vec<Row>>(file).expect("an embedded data file is a list of rows"));
    Dataset::new(rows).expect("embedded rows are of their form")
});

fn signature(row: Row) -> Result<Signature, Error> {
    let hello = lists(&row.tls).map_err(|error| error.under("tls"))?;
    let akamai = row.akamai_h2.as_deref().map(Akamai::parse).transpose();
    let headers = row.headers.map(Headers::new).transpose();
    Ok(Signature {
        family: Family::of_client(&row.client),
        client: row.client,
        version: row.version,
        runs: row.runs.get(),
        profile: Profile {
            tls: hello.as_ref().map(Tls::of_hello),
            http2: akamai.map_err(|error| error.under("akamai_h2"))?,
            headers: headers
                .map_err(|error| error.under("headers"))?
                .as_ref()
                .and_then(HeaderOrder::of),
        },
    })
}

impl Dataset {
    /// A data set from captures of your own: the text of a list of rows, each of the form of those in `data/`.
    ///
    /// # Errors
    /// `ERR_INPUT_NOT_JSON` if it is no such list; `ERR_SIGNAL_INVALID` at the path of the value that is wrong.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let rows: Vec<Row> = serde_json::from_str(text)
            .map_err(|error| Error::new(ErrorCode::InputNotJson, format!("is not a list of rows: {error}")))?;
        Self::new(rows)
    }

    fn new(rows: impl IntoIterator<Item = Row>) -> Result<Self, Error> {
        let rows = rows.into_iter().enumerate();
        let signatures = rows
            .map(|(index, row)| signature(row).map_err(|error| error.under(&format!("[{index}]"))))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut frequency: BTreeMap<(Section, u16), u32> = BTreeMap::new();
        let families = set(&signatures.iter().map(|one| one.family).collect::<Vec<_>>());
        for family in &families {
            let of_family = signatures.iter().filter(|one| one.family == *family);
            for value in set(&of_family.flat_map(values).collect::<Vec<_>>()) {
                *frequency.entry(value).or_default() += 1;
            }
        }
        let families = u32::try_from(families.len()).unwrap_or(u32::MAX);
        let weight = |senders: u32| 1.0 + (f64::from(families + 1) / f64::from(senders + 1)).ln();
        let names = set(&signatures.iter().map(Signature::name).collect::<Vec<_>>());
        let orders: Vec<_> = signatures
            .iter()
            .filter_map(|one| one.profile.headers.as_ref())
            .collect();
        let header_orders = distinct(&orders);
        Ok(Self {
            standings: standings(&signatures, &names, &header_orders),
            names: names
                .into_iter()
                .map(|(client, version)| (client.to_owned(), version.to_owned()))
                .collect(),
            header_orders: header_orders.into_iter().cloned().collect(),
            shuffling: shuffling(&signatures),
            weights: frequency
                .into_iter()
                .map(|(value, senders)| (value, weight(senders)))
                .collect(),
            weight_of_unknown: weight(0),
            signatures,
        })
    }

    /// Whether a client draws the order of its extensions anew each time.
    pub(crate) fn shuffles(&self, client: &str) -> bool {
        self.shuffling.iter().any(|one| one == client)
    }

    /// How much it says that two clients share a value: 1 for one that every family sends, more
    /// the fewer do (inverse document frequency).
    pub(crate) fn weight(&self, section: Section, value: u16) -> f64 {
        match self
            .weights
            .binary_search_by_key(&(section, value), |(value, _)| *value)
        {
            Ok(index) => self.weights[index].1,
            Err(_) => self.weight_of_unknown,
        }
    }
}

/// The standing of each signature among all.
fn standings(signatures: &[Signature], names: &[(&str, &str)], header_orders: &[&HeaderOrder]) -> Vec<Standing> {
    let standing = |one: &Signature| {
        let same_name = signatures.iter().filter(|other| other.name() == one.name());
        let runs: f64 = same_name.map(|other| f64::from(other.runs)).sum();
        let order = one.profile.headers.as_ref();
        Standing {
            name: names.partition_point(|name| *name < one.name()),
            share: f64::from(one.runs) / runs,
            header_order: order.and_then(|order| header_orders.iter().position(|other| *other == order)),
        }
    };
    signatures.iter().map(standing).collect()
}

/// Clients of which one version was seen with the same JA3N and different JA3s.
fn shuffling(signatures: &[Signature]) -> Vec<String> {
    let shuffled = |one: &Signature, other: &Signature| match (&one.profile.tls, &other.profile.tls) {
        (Some(one), Some(other)) => one.ja3 != other.ja3 && one.ja3n == other.ja3n,
        _ => false,
    };
    let seen = |one: &&Signature| {
        let mut others = signatures.iter();
        others.any(|other| one.name() == other.name() && shuffled(one, other))
    };
    set(&signatures
        .iter()
        .filter(seen)
        .map(|one| one.client.as_str())
        .collect::<Vec<_>>())
    .into_iter()
    .map(str::to_owned)
    .collect()
}

fn values(signature: &Signature) -> Vec<(Section, u16)> {
    let Some(tls) = &signature.profile.tls else {
        return Vec::new();
    };
    [
        (Section::Ciphers, &tls.lists.ciphers),
        (Section::Extensions, &tls.lists.extensions),
        (Section::Groups, &tls.lists.groups),
        (Section::SignatureAlgorithms, &tls.lists.signature_algorithms),
    ]
    .into_iter()
    .flat_map(|(section, list)| {
        let values = list.iter().flat_map(|list| &list.values);
        values.map(move |value| (section, *value))
    })
    .collect()
}

//! The signals of one client as they are sent to the API: where each call begins.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::akamai::Akamai;
use crate::client_hello::{ClientHello, MAX_CIPHERS, MAX_EXTENSIONS, transport_of};
use crate::digest::is_hex;
use crate::error::{Error, ErrorCode, invalid};
use crate::fields::{field, integer, list, object, string};
use crate::headers::{Headers, MAX_HEADERS};
use crate::ja3::Ja3;
use crate::ja4::Ja4;
use crate::ja4_raw::Ja4Raw;
use crate::profile::{HeaderOrder, Profile, Tls};
use crate::tls_records::MAX_FLIGHT;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
/// Base64 of the longest input that the parser takes.
const MAX_BASE64: usize = MAX_FLIGHT * 4 / 3 + 4;

const LISTS: [&str; 8] = [
    "version",
    "ciphers",
    "extensions",
    "groups",
    "point_formats",
    "signature_algorithms",
    "alpn",
    "supported_versions",
];
const TLS: [&str; 12] = [
    "client_hello",
    "ja4",
    "ja4_r",
    "ja3",
    LISTS[0],
    LISTS[1],
    LISTS[2],
    LISTS[3],
    LISTS[4],
    LISTS[5],
    LISTS[6],
    LISTS[7],
];

/// The signals of one client, checked and in their normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    pub(crate) profile: Profile,
    pub(crate) headers: Option<Headers>,
    /// Whether two TLS signals, such as a hello and a JA4, can't both be true.
    pub(crate) tls_disagree: bool,
}

impl Signals {
    /// Reads the fingerprint object of the API:
    ///
    /// ```json
    /// { "tls":   { "client_hello": "<base64>" },
    ///   "http2": { "akamai": "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p" },
    ///   "http":  { "headers": [["user-agent", "curl/7.88.1"]] } }
    /// ```
    ///
    /// `tls` may hold `client_hello` (base64, standard or URL-safe, padded or not), `ja4`, `ja4_r`,
    /// `ja3` (MD5 or full string), or the lists: `version`, `ciphers` and `extensions`, with
    /// `groups`, `point_formats`, `signature_algorithms`, `alpn` and `supported_versions` where
    /// the client sent them. Of several, the fuller decides.
    ///
    /// # Errors
    /// `ERR_NO_SIGNAL` if there is none; `ERR_CLIENT_HELLO_…`, `ERR_SIGNAL_INVALID` or
    /// `ERR_INPUT_TOO_LARGE` at the path of the field that is wrong.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = object(value, &["tls", "http2", "http"])?;
        let tls = field(fields, "tls", tls)?.flatten();
        let http2 = field(fields, "http2", |value| {
            let akamai = object(value, &["akamai"])?;
            field(akamai, "akamai", |value| Akamai::parse(string(value)?))
        })?
        .flatten();
        let headers = field(fields, "http", |value| {
            let http = object(value, &["headers"])?;
            field(http, "headers", headers)
        })?
        .flatten()
        .filter(|headers| !headers.is_empty());
        let (tls, tls_disagree) = tls.unzip();
        let profile = Profile {
            tls,
            http2,
            headers: headers.as_ref().and_then(HeaderOrder::of),
        };
        if profile == Profile::default() && headers.is_none() {
            return Err(Error::new(
                ErrorCode::NoSignal,
                "holds no signal; it takes at least one of tls, http2.akamai and http.headers",
            ));
        }
        Ok(Self {
            profile,
            headers,
            tls_disagree: tls_disagree.unwrap_or(false),
        })
    }

    /// The signals of a hello alone: the same as of an object that holds only its bytes.
    #[must_use]
    pub fn from_client_hello(hello: &ClientHello) -> Self {
        Self {
            profile: Profile {
                tls: Some(Tls::of_hello(hello)),
                ..Profile::default()
            },
            headers: None,
            tls_disagree: false,
        }
    }
}

/// The TLS signals from the fullest to the scantest, and whether any two contradict each other.
fn tls(value: &Value) -> Result<Option<(Tls, bool)>, Error> {
    let fields = object(value, &TLS)?;
    let given = [
        field(fields, "client_hello", client_hello)?,
        lists(fields)?.map(|hello| Tls::of_hello(&hello)),
        field(fields, "ja4_r", |value| {
            Ok(Tls::of_ja4_r(Ja4Raw::parse(string(value)?)?))
        })?,
        field(fields, "ja4", |value| {
            Ok(Tls {
                ja4: Some(Ja4::parse(string(value)?)?),
                ..Tls::default()
            })
        })?,
        field(fields, "ja3", ja3)?,
    ];
    let mut disagree = false;
    let merged = given.into_iter().flatten().reduce(|fuller, other| {
        disagree |= fuller.contradicts(&other);
        fuller.or(other)
    });
    Ok(merged.map(|tls| (tls, disagree)))
}

fn client_hello(value: &Value) -> Result<Tls, Error> {
    let text = string(value)?;
    if text.len() > MAX_BASE64 {
        return Err(Error::new(
            ErrorCode::ClientHelloTooLarge,
            format!("has {} characters of base64; it may have {MAX_BASE64}", text.len()),
        ));
    }
    let is_url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { URL_SAFE } else { STANDARD };
    let bytes = engine
        .decode(text)
        .map_err(|error| invalid(format!("is not base64, standard or URL-safe: {error}")))?;
    Ok(Tls::of_hello(&ClientHello::parse(&bytes)?))
}

fn ja3(value: &Value) -> Result<Tls, Error> {
    let text = string(value)?;
    let lower = text.to_ascii_lowercase();
    if is_hex(&lower, 32) {
        return Ok(Tls {
            ja3: Some(lower),
            ..Tls::default()
        });
    }
    Ok(Tls::of_ja3(&Ja3::parse(text)?))
}

/// A hello from its lists; `None` if none is given.
pub(crate) fn lists(fields: &Map<String, Value>) -> Result<Option<ClientHello>, Error> {
    if LISTS.iter().all(|name| fields.get(*name).is_none_or(Value::is_null)) {
        return Ok(None);
    }
    let needed = |name: &str| invalid("is missing; lists take version, ciphers and extensions at least").under(name);
    let values = |name: &str, limit| field(fields, name, |value| list(value, limit, integer::<u16>));
    let extensions = values("extensions", MAX_EXTENSIONS)?.ok_or_else(|| needed("extensions"))?;
    Ok(Some(ClientHello {
        transport: transport_of(&extensions),
        legacy_version: field(fields, "version", integer)?.ok_or_else(|| needed("version"))?,
        ciphers: values("ciphers", MAX_CIPHERS)?.ok_or_else(|| needed("ciphers"))?,
        extensions,
        groups: values("groups", MAX_EXTENSIONS)?.unwrap_or_default(),
        point_formats: field(fields, "point_formats", |value| {
            list(value, usize::from(u8::MAX), integer::<u8>)
        })?
        .unwrap_or_default(),
        signature_algorithms: values("signature_algorithms", MAX_EXTENSIONS)?.unwrap_or_default(),
        alpn: field(fields, "alpn", |value| list(value, MAX_EXTENSIONS, alpn_name))?
            .unwrap_or_default()
            .into_iter()
            .collect(),
        supported_versions: values("supported_versions", MAX_EXTENSIONS)?.unwrap_or_default(),
    }))
}

fn alpn_name(value: &Value) -> Result<Vec<u8>, Error> {
    let name = string(value)?;
    if name.len() > usize::from(u8::MAX) {
        return Err(invalid(format!("has {} bytes; an ALPN name may have 255", name.len())));
    }
    Ok(name.as_bytes().to_vec())
}

fn headers(value: &Value) -> Result<Headers, Error> {
    let pairs = list(value, MAX_HEADERS, |pair| {
        let pair = list(pair, 2, |item| string(item).map(str::to_owned))?;
        match <[String; 2]>::try_from(pair) {
            Ok([name, value]) => Ok((name, value)),
            Err(pair) => Err(invalid(format!("has {} items; it may be [name, value]", pair.len()))),
        }
    })?;
    Headers::new(pairs)
}

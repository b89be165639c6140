//! The body of a batch as it comes over HTTP, `{ "items": [ … ] }`, read without making values of what its items hold.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorCode};
use crate::json::MAX_ITEMS;

/// Names of fields that are no part of a batch are kept until they have this many bytes together.
const MAX_OTHERS: usize = 1024;

/// What is to be known of the body of a batch before its items are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutline {
    /// The body with `null` in place of every item and of every other field's value; of at most one item more than a
    /// batch may have, and of the first other fields. What is no object, or no array in `items`, becomes a short one of
    /// its kind. Whatever is wrong with the body itself is wrong with this too, while an item that can't be read is no
    /// fault of the body.
    pub text: String,
    /// Where in the body the text of each item stands, in bytes; as many as `text` has.
    pub items: Vec<Range<usize>>,
}

impl BatchOutline {
    /// The outline of a body, which may start with a byte order mark.
    ///
    /// # Errors
    /// `ERR_INPUT_NOT_JSON`
    pub fn of(body: &str) -> Result<Self, Error> {
        let text = body.strip_prefix('\u{feff}').unwrap_or(body);
        let mut items = Vec::new();
        if !text.trim_start().starts_with('{') {
            let text = kind(read::<&RawValue>(text)?).to_owned();
            return Ok(Self { text, items });
        }
        let fields: Body = read(text)?;
        let others = fields.others.iter();
        let mut outlines: Vec<String> = others
            .map(|name| serde_json::Value::from(name.as_str()).to_string() + ":null")
            .collect();
        if let Some(raw) = fields.items {
            let mut outline = kind(raw).to_owned();
            if outline == "[]" {
                let Items(texts) = read(raw.get())?;
                outline = format!("[{}]", vec!["null"; texts.len()].join(","));
                let start = |text: &str| text.as_ptr().addr() - body.as_ptr().addr();
                let place = |item: &RawValue| start(item.get())..start(item.get()) + item.get().len();
                items.extend(texts.into_iter().map(place));
            }
            outlines.push(format!("\"items\":{outline}"));
        }
        let text = format!("{{{}}}", outlines.join(","));
        Ok(Self { text, items })
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::new(ErrorCode::InputNotJson, format!("is not JSON: {error}")))
}

/// A short value of the same kind.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "{}",
        Some(b'[') => "[]",
        Some(b'"') => "\"…\"",
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        _ => "0",
    }
}

/// The fields of a body; of those that come twice the last counts.
#[derive(Default)]
struct Body<'a> {
    items: Option<&'a RawValue>,
    others: Vec<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Body<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
                let (mut body, mut bytes) = (Body::default(), 0);
                while let Some(name) = map.next_key::<String>()? {
                    if name == "items" {
                        body.items = Some(map.next_value()?);
                        continue;
                    }
                    map.next_value::<IgnoredAny>()?;
                    if bytes < MAX_OTHERS {
                        bytes += name.len();
                        body.others.push(name);
                    }
                }
                Ok(body)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The texts of items, of at most one more than a batch may have.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while items.len() <= MAX_ITEMS {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Items(items)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(body: impl AsRef<str>) -> String {
        BatchOutline::of(body.as_ref()).map_or_else(|error| error.code().to_owned(), |outline| outline.text)
    }

    #[test]
    fn what_items_say_is_left_out() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for item in ["null", "7", "1e999", "\"\\ud800\"", "{\"id\":1,\"id\":[2]}", &deep] {
            assert_eq!(
                outline(format!(" {{ \"items\" : [ {item} , {item} ] }} ")),
                "{\"items\":[null,null]}"
            );
        }
        assert_eq!(outline("{\"items\":[]}"), "{\"items\":[]}");
        assert_eq!(outline("\u{feff}{\"items\":[1]}"), "{\"items\":[null]}");
    }

    #[test]
    fn what_is_wrong_with_a_body_stays_wrong() {
        for (body, expected) in [
            ("null", "null"),
            (" true ", "true"),
            ("false", "false"),
            ("-1.5", "0"),
            ("\"{\"", "\"…\""),
            ("[[1]]", "[]"),
            ("{}", "{}"),
            ("{\"items\":{\"a\":1}}", "{\"items\":{}}"),
            ("{\"items\":\"a\"}", "{\"items\":\"…\"}"),
            (
                "{\"b\":[1],\"items\":[1],\"\\u0061\\n\":{}}",
                "{\"b\":null,\"a\\n\":null,\"items\":[null]}",
            ),
            (
                "{\"__proto__\":{\"a\":1},\"items\":[1]}",
                "{\"__proto__\":null,\"items\":[null]}",
            ),
        ] {
            assert_eq!(outline(body), expected, "{body}");
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        assert_eq!(outline("{\"items\":[1,2],\"items\":7}"), "{\"items\":0}");
        assert_eq!(outline("{\"items\":7,\"items\":[1,2]}"), "{\"items\":[null,null]}");
    }

    #[test]
    fn an_outline_is_short() {
        let items = format!("{{\"items\":[{}]}}", vec!["{}"; 5000].join(","));
        assert_eq!(
            outline(items),
            format!("{{\"items\":[{}]}}", vec!["null"; MAX_ITEMS + 1].join(","))
        );
        let others: Vec<String> = (0..5000).map(|field| format!("\"field {field}\":[]")).collect();
        assert!(outline(format!("{{{}}}", others.join(","))).len() < 4 * MAX_OTHERS);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in [
            "",
            " ",
            "{",
            "{\"items\":[1,]}",
            "{\"items\":[1]} 2",
            "{\"items\":[\"\n\"]}",
            "{1:2}",
            "nul",
            "[1",
        ] {
            assert_eq!(outline(body), "ERR_INPUT_NOT_JSON", "{body}");
        }
    }

    #[test]
    fn items_are_found_as_they_stand() -> Result<(), Error> {
        let items = [
            "{\"id\":\"é\",\"fingerprint\":{\"tls\":{\"ja4\":\"x\"}}}",
            "7",
            "{\"id\":\"\\ud800\"}",
        ];
        let body = format!("\u{feff}{{\"é\":1,\"items\":[ {} ]}}", items.join(" , "));
        let texts: Vec<_> = BatchOutline::of(&body)?
            .items
            .into_iter()
            .map(|place| &body[place])
            .collect();
        assert_eq!(texts, items);
        Ok(())
    }
}

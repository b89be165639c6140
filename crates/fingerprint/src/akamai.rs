//! Akamai's HTTP/2 fingerprint: `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-header order`. Parsed of each signal that has
//! one, and of the data set.
//!
//! Source: Shuster, Segal and Yavo, "Passive Fingerprinting of HTTP/2 Clients", Akamai, 2017.

use std::fmt;

use crate::decimal::decimal;
use crate::error::{Error, invalid, shown};

/// Longest text accepted, in bytes.
pub const MAX_AKAMAI: usize = 2 * 1024;
/// Most settings, and most priorities, accepted.
pub const MAX_FRAMES: usize = 64;

/// One PRIORITY frame sent before the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Priority {
    /// The stream it is for.
    pub stream: u32,
    /// Whether it depends on the other exclusively.
    pub exclusive: bool,
    /// The stream it depends on.
    pub depends_on: u32,
    /// 1 to 256.
    pub weight: u16,
}

/// How a client opens an HTTP/2 connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Akamai {
    /// Settings in the order sent: identifier and value.
    pub settings: Vec<(u16, u32)>,
    /// Increment of the first connection-level `WINDOW_UPDATE`; 0 if there was none.
    pub window_update: u32,
    /// PRIORITY frames in the order sent.
    pub priorities: Vec<Priority>,
    /// First letters of the pseudo-headers in the order sent: of `m`, `a`, `s`, `p`, each at most once.
    pub pseudo_headers: Vec<char>,
}

impl Akamai {
    /// Reads the text form; at most [`MAX_AKAMAI`] bytes. Settings may also be separated by commas.
    ///
    /// # Errors
    /// `ERR_SIGNAL_INVALID`, naming the part that is not of its form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_AKAMAI {
            return Err(invalid(format!("has {} bytes; it may have {MAX_AKAMAI}", text.len())));
        }
        let parts: Vec<&str> = text.split('|').collect();
        let &[settings, window_update, priorities, pseudo_headers] = parts.as_slice() else {
            return Err(invalid(format!(
                "is {}; it takes four parts, SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-header order",
                shown(text)
            )));
        };
        Ok(Self {
            settings: items(settings, &[';', ','], "settings", setting)?,
            window_update: decimal(window_update, "window update")?,
            priorities: if priorities == "0" {
                Vec::new()
            } else {
                items(priorities, &[','], "priorities", priority)?
            },
            pseudo_headers: pseudo_header_order(pseudo_headers)?,
        })
    }
}

impl fmt::Display for Akamai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(f, &self.settings, ';', |f, (id, value)| write!(f, "{id}:{value}"))?;
        match self.window_update {
            0 => f.write_str("|00|")?,
            increment => write!(f, "|{increment}|")?,
        }
        if self.priorities.is_empty() {
            f.write_str("0")?;
        }
        separated(f, &self.priorities, ',', |f, one| {
            let exclusive = u8::from(one.exclusive);
            write!(f, "{}:{exclusive}:{}:{}", one.stream, one.depends_on, one.weight)
        })?;
        f.write_str("|")?;
        separated(f, &self.pseudo_headers, ',', |f, letter| write!(f, "{letter}"))
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    values: &[T],
    separator: char,
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            write!(f, "{separator}")?;
        }
        write(f, value)?;
    }
    Ok(())
}

fn items<T>(
    text: &str,
    separators: &[char],
    what: &str,
    item: impl Fn(&str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.matches(separators).count() >= MAX_FRAMES {
        return Err(invalid(format!("{what} hold more than {MAX_FRAMES} items")));
    }
    text.split(separators).map(item).collect()
}

fn setting(text: &str) -> Result<(u16, u32), Error> {
    let Some((id, value)) = text.split_once(':') else {
        return Err(invalid(format!("setting is {}; it may be id:value", shown(text))));
    };
    Ok((decimal(id, "setting")?, decimal(value, "setting")?))
}

fn priority(text: &str) -> Result<Priority, Error> {
    let parts: Vec<&str> = text.split(':').collect();
    let malformed = || {
        invalid(format!(
            "priority is {}; it may be stream:exclusive:depends_on:weight, exclusive 0 or 1, weight 1 to 256",
            shown(text)
        ))
    };
    let &[stream, exclusive @ ("0" | "1"), depends_on, weight] = parts.as_slice() else {
        return Err(malformed());
    };
    let weight = decimal(weight, "priority")?;
    if !(1..=256).contains(&weight) {
        return Err(malformed());
    }
    Ok(Priority {
        stream: decimal(stream, "priority")?,
        exclusive: exclusive == "1",
        depends_on: decimal(depends_on, "priority")?,
        weight,
    })
}

fn pseudo_header_order(text: &str) -> Result<Vec<char>, Error> {
    let mut order = Vec::with_capacity(4);
    for name in text.split(',') {
        match name {
            "m" | "a" | "s" | "p" if !order.contains(&char::from(name.as_bytes()[0])) => {
                order.push(char::from(name.as_bytes()[0]));
            }
            _ => {
                return Err(invalid(format!(
                    "pseudo-header order is {}; it may be m, a, s and p, each once, separated by commas",
                    shown(text)
                )));
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_browsers_come_back_as_they_were() {
        for text in [
            "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p",
            "1:65536;4:131072;5:16384|12517377|3:0:0:201,5:0:0:101,7:1:0:256|m,p,a,s",
            "|00|0|m,s",
        ] {
            assert_eq!(Akamai::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_become_one() {
        let text = "1:65536,2:0|0||m,a,s,p";
        assert_eq!(Akamai::parse(text).unwrap().to_string(), "1:65536;2:0|00|0|m,a,s,p");
    }

    #[test]
    fn refused_texts_say_which_part() {
        let settings = format!("{}|0|0|m", vec!["1:1"; MAX_FRAMES + 1].join(";"));
        let long = "1".repeat(MAX_AKAMAI + 1);
        for (text, part) in [
            ("1:1|0|0", "four parts"),
            ("1|0|0|m", "setting is \"1\""),
            ("1:x|0|0|m", "setting holds \"x\""),
            ("65536:1|0|0|m", "setting holds \"65536\""),
            ("1:+1|0|0|m", "setting holds \"+1\""),
            ("1:4294967296|0|0|m", "setting holds"),
            ("1:1||0|m", "window update holds \"\""),
            ("1:1|0|3:0:0|m", "priority is \"3:0:0\""),
            ("1:1|0|3:2:0:1|m", "priority is"),
            ("1:1|0|3:0:0:0|m", "weight 1 to 256"),
            ("1:1|0|3:0:x:1|m", "priority holds \"x\""),
            ("1:1|0|0|", "pseudo-header order is \"\""),
            ("1:1|0|0|m,m", "each once"),
            ("1:1|0|0|m,x", "each once"),
            (settings.as_str(), "more than 64"),
            (long.as_str(), "may have 2048"),
        ] {
            let error = Akamai::parse(text).unwrap_err();
            assert_eq!(error.code(), "ERR_SIGNAL_INVALID");
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }
}

//! The bodies of the fuzz targets: each takes any bytes and panics if something is wrong.

use serde_json::Value;
use tollkeeper_fingerprint::{
    Akamai, BatchOutline, ClientHello, Ja3, Ja4, Ja4Raw, MAX_ITEMS, MAX_JA3, Signals, UserAgent, batch_json, compare,
    compare_json, identify, identify_json,
};

/// The first flight of a TLS client. What is read can be written and read again.
pub fn client_hello(bytes: &[u8]) {
    let Ok(hello) = ClientHello::parse(bytes) else { return };
    let raw = Ja4Raw::of(&hello);
    assert_eq!(Ja4Raw::parse(&raw.to_string()).as_ref(), Ok(&raw));
    assert_eq!(Ja4::parse(Ja4::of_raw(&raw).as_str()).as_ref(), Ok(&Ja4::of_raw(&raw)));
    for ja3 in [Ja3::of(&hello), Ja3::of(&hello).normalised()] {
        let text = ja3.to_string();
        if text.len() <= MAX_JA3
            && let Ok(again) = Ja3::parse(&text)
        {
            assert_eq!(again, ja3);
        }
        assert_eq!(ja3.md5().len(), 32);
    }
    let signals = Signals::from_client_hello(&hello);
    let shares = identify(&signals)
        .candidates
        .iter()
        .map(|one| one.confidence)
        .sum::<f64>();
    // Each is rounded to thousandths.
    assert!((0.0..=1.02).contains(&shares), "{shares}");
    let same = compare(&signals, &signals).expect("a hello is comparable with itself");
    assert!((same.similarity - 1.0).abs() < 1e-9, "{}", same.similarity);
}

/// The JSON surface. Its answers are JSON.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for answer in [identify_json(text), compare_json(text), batch_json(&[text], 0)] {
        match answer {
            Ok(answer) => drop(serde_json::from_str::<Value>(&answer).expect("an answer is JSON")),
            Err(error) => assert!(!error.code().is_empty() && !error.to_string().is_empty()),
        }
    }
}

/// The body of a batch. Its outline is JSON and says how many items there are, each of which is answered.
pub fn batch_body(bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else { return };
    let BatchOutline { text, items } = match BatchOutline::of(body) {
        Ok(outline) => outline,
        Err(error) => return assert_eq!(error.code(), "ERR_INPUT_NOT_JSON"),
    };
    let outline: Value = serde_json::from_str(&text).expect("an outline is JSON");
    let count = |body: &Value| Some(body.get("items")?.as_array()?.len().min(MAX_ITEMS + 1));
    assert_eq!(count(&outline).unwrap_or(0), items.len());
    // Not every item can be made a value of: it may be nested deep, or hold half of a surrogate pair.
    if let Ok(body) = serde_json::from_str::<Value>(body) {
        assert_eq!(count(&body), count(&outline));
        assert_eq!(body.is_object(), outline.is_object());
    }
    if items.len() <= MAX_ITEMS {
        let count = items.len();
        let texts: Vec<_> = items.into_iter().map(|place| &body[place]).collect();
        let answers = batch_json(&texts, 0).expect("a batch is not refused for its items");
        let answers: Vec<Value> = serde_json::from_str(&answers).expect("answers are JSON");
        assert_eq!(answers.len(), count);
    }
}

/// Each signal that is text. What is read can be written and read again.
pub fn signal_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ja3) = Ja3::parse(text) {
        assert_eq!(Ja3::parse(&ja3.to_string()), Ok(ja3));
    }
    if let Ok(ja4) = Ja4::parse(text) {
        assert_eq!([ja4.a(), ja4.b(), ja4.c()].join("_"), text);
    }
    if let Ok(raw) = Ja4Raw::parse(text) {
        assert_eq!(raw.to_string(), text);
        let _ = Ja4::of_raw(&raw);
    }
    if let Ok(akamai) = Akamai::parse(text) {
        let written = akamai.to_string();
        match Akamai::parse(&written) {
            Ok(again) => assert_eq!(again, akamai),
            // What is written may be longer than what was read, by the zero of an absent window update.
            Err(_) => assert!(written.len() > tollkeeper_fingerprint::MAX_AKAMAI, "{written}"),
        }
    }
    let _ = UserAgent::parse(text);
}

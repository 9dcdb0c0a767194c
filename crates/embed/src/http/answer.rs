//! Reading the answer: JSON floats, or base64 of little-endian f32.

use serde::Deserialize;

use crate::quantize::normalize;

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<usize>,
    embedding: Encoded,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Encoded {
    Floats(Vec<f32>),
    Base64(String),
}

/// The vectors by index, scaled to length 1. Insists on `texts` of them, on one
/// width, and on `dims` unless that is 0. The error is for a person.
pub(super) fn vectors(body: &[u8], texts: usize, dims: usize) -> Result<Vec<Vec<f32>>, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| format!("the embedding endpoint's answer is not understood: {e}"))?;
    if answer.data.len() != texts {
        return Err(format!(
            "the embedding endpoint answered with {} vectors for {texts} texts",
            answer.data.len()
        ));
    }
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); texts];
    for (position, entry) in answer.data.into_iter().enumerate() {
        let place = entry.index.unwrap_or(position);
        let slot = vectors
            .get_mut(place)
            .filter(|slot| slot.is_empty())
            .ok_or_else(|| format!("the embedding endpoint numbered two vectors {place}"))?;
        *slot = match entry.embedding {
            Encoded::Floats(floats) => floats,
            Encoded::Base64(text) => decode_floats(&text)
                .ok_or_else(|| "the embedding endpoint sent broken base64".to_owned())?,
        };
        if !normalize(slot) {
            return Err("the embedding endpoint sent a vector without a direction".to_owned());
        }
    }
    let expected = if dims == 0 {
        vectors.first().map_or(0, Vec::len)
    } else {
        dims
    };
    match vectors.iter().find(|v| v.len() != expected) {
        None => Ok(vectors),
        Some(other) => Err(format!(
            "the embedding endpoint sent {} dimensions instead of {expected}",
            other.len()
        )),
    }
}

fn decode_floats(text: &str) -> Option<Vec<f32>> {
    let bytes = decode_base64(text)?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty()
        .then(|| floats.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Standard alphabet, padding optional (RFC 4648 section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_vectors() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                decode_base64(text),
                expected.map(|e| e.as_bytes().to_vec()),
                "{text}"
            );
        };
        check("", Some(""));
        check("Zg==", Some("f"));
        check("Zm8=", Some("fo"));
        check("Zm9v", Some("foo"));
        check("Zm9vYg", Some("foob"));
        check("Zm9vYmFy", Some("foobar"));
        check("Zm9vY", None);
        check("Zm 9", None);
    }

    #[test]
    fn answers() {
        let check =
            |body: &str, texts: usize, dims: usize, expected: Result<Vec<Vec<f32>>, &str>| match (
                vectors(body.as_bytes(), texts, dims),
                expected,
            ) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{body}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{body}: {got}"),
                (got, _) => panic!("{body}: {got:?}"),
            };
        check(
            r#"{"data":[{"index":1,"embedding":[0,3]},{"index":0,"embedding":[4,0]}]}"#,
            2,
            2,
            Ok(vec![vec![1.0, 0.0], vec![0.0, 1.0]]),
        );
        // 0.0 and 2.0 as little-endian f32.
        check(
            r#"{"data":[{"embedding":"AAAAAAAAAEA="}]}"#,
            1,
            0,
            Ok(vec![vec![0.0, 1.0]]),
        );
        check(
            r#"{"data":[{"embedding":[1,0,0]}]}"#,
            1,
            2,
            Err("3 dimensions"),
        );
        check(
            r#"{"data":[{"embedding":[1,0]}]}"#,
            2,
            2,
            Err("1 vectors for 2"),
        );
        check(r#"{"data":[{"embedding":[0,0]}]}"#, 1, 2, Err("direction"));
        check(r#"{"data":[{"embedding":[]}]}"#, 1, 2, Err("direction"));
        check(
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            2,
            1,
            Err("two vectors 0"),
        );
        check(r#"{"data":[{"index":7,"embedding":[1]}]}"#, 1, 1, Err("7"));
        check("<html>", 1, 1, Err("not understood"));
    }
}

//! Server-sent events (WHATWG HTML section 9.2), as far as models stream in
//! them: the `data` of events, whose lines end in LF or CRLF.

use crate::error::LlmError;

/// One line at most; a part of an answer is some hundred bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Puts events together from pieces that end anywhere, also within a letter.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Option<String>,
}

impl Events {
    /// Hands the data of each event that `bytes` completes to `each`.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&str) -> Result<(), LlmError>,
    ) -> Result<(), LlmError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.push(&rest[..end])?;
            rest = &rest[end + 1..];
            self.end_line(each)?;
        }
        self.push(rest)
    }

    /// The answer is over: an event that lacks only its empty line still counts.
    pub(crate) fn finish(
        &mut self,
        each: &mut impl FnMut(&str) -> Result<(), LlmError>,
    ) -> Result<(), LlmError> {
        self.end_line(each)?;
        self.dispatch(each)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), LlmError> {
        if self.line.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(LlmError::bad(format!(
                "the language model streams a line of more than {LINE_BYTES_MAX} bytes"
            )));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(
        &mut self,
        each: &mut impl FnMut(&str) -> Result<(), LlmError>,
    ) -> Result<(), LlmError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            return self.dispatch(each);
        }
        let Some(data) = line.strip_prefix(b"data:") else {
            // Comments that keep the connection alive, names and ids.
            return Ok(());
        };
        let data = std::str::from_utf8(data.strip_prefix(b" ").unwrap_or(data))
            .map_err(|e| LlmError::bad("the language model streams no UTF-8").with_source(e))?;
        match &mut self.data {
            Some(lines) if lines.len() + data.len() > LINE_BYTES_MAX => {
                return Err(LlmError::bad(format!(
                    "the language model streams an event of more than {LINE_BYTES_MAX} bytes"
                )));
            }
            Some(lines) => {
                lines.push('\n');
                lines.push_str(data);
            }
            None => self.data = Some(data.to_owned()),
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        each: &mut impl FnMut(&str) -> Result<(), LlmError>,
    ) -> Result<(), LlmError> {
        match self.data.take() {
            Some(data) => each(&data),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], piece: usize) -> Vec<String> {
        let mut events = Events::default();
        let mut found = Vec::new();
        let mut each = |data: &str| {
            found.push(data.to_owned());
            Ok(())
        };
        for piece in stream.chunks(piece) {
            events.feed(piece, &mut each).expect("fed");
        }
        events.finish(&mut each).expect("finished");
        found
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let check = |stream: &str, expected: &[&str]| {
            for piece in 1..=stream.len() {
                assert_eq!(read(stream.as_bytes(), piece), expected, "{piece}");
            }
        };
        check("data: a\n\ndata:b\n\n", &["a", "b"]);
        check("data: سلام\r\n\r\ndata: [DONE]\r\n\r\n", &["سلام", "[DONE]"]);
        check(": ping\n\nevent: x\nid: 7\ndata: a\ndata: b\n\n", &["a\nb"]);
        // Without the last empty line, and without the end of the last line.
        check("data: a\n", &["a"]);
        check("data: a", &["a"]);
        check("\n\n\n", &[]);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let mut events = Events::default();
        let mut each = |_: &str| Ok(());
        let piece = vec![b'x'; 4096];
        let fed =
            (0..=LINE_BYTES_MAX / piece.len()).try_for_each(|_| events.feed(&piece, &mut each));
        let error = fed.expect_err("too long");
        assert!(error.to_string().contains("line of more than"), "{error}");
    }
}

//! What people and programs read: the only place that writes to standard output.

use std::io::{IsTerminal, Write};

pub use crate::view::rfc3339;
use anyhow::Result;
use serde::Serialize;

use crate::app::App;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Partly = 3,
}

/// `--data-dir X` when this run was given one, so that hints can be pasted.
pub fn data_dir_flag(app: &App) -> String {
    if app.data_dir_given {
        format!(" --data-dir {}", app.data_dir().display())
    } else {
        String::new()
    }
}

/// Progress is for people at a terminal.
pub fn shows_progress(app: &App) -> bool {
    !app.json && std::io::stderr().is_terminal()
}

/// Writes one JSON value on one line.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes one line of text.
pub fn line(text: impl AsRef<str>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes bytes as they are.
pub fn write_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Writes a paragraph below an indent: folded to a terminal's width, on one
/// line anywhere else.
pub fn paragraph(indent: &str, text: &str) -> Result<()> {
    let width = std::io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten()
        .map(|(width, _)| usize::from(width.0).clamp(40, 120));
    let Some(width) = width else {
        return line(format!("{indent}{text}"));
    };
    let options = textwrap::Options::new(width)
        .initial_indent(indent)
        .subsequent_indent(indent);
    line(textwrap::fill(text, options))
}

/// Writes one line to standard error: notes that are no part of the result.
pub fn note(text: impl AsRef<str>) {
    let mut err = std::io::stderr().lock();
    // Nothing useful can be done when standard error is gone.
    let _ = writeln!(err, "{}", text.as_ref());
}

/// Colours for a terminal; empty strings anywhere else and under `NO_COLOR`.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    pub fn stdout() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Paint {
            on: !refused && std::io::stdout().is_terminal(),
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    /// A match within a snippet: in colour, or between `**` without colours.
    pub fn mark(self, text: &str) -> String {
        if self.on {
            self.wrap("1;33", text)
        } else {
            format!("**{text}**")
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a binary unit.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Cuts to at most `max` characters, ending in an ellipsis when cut.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(rfc3339(types::Timestamp(0)), "1970-01-01T00:00:00Z");
    }
}

//! Text -> [`Selector`].

use html5ever::LocalName;

use super::{AttributeTest, Operator, Relation, Selector, Step, Test};
use crate::html::Tag;

/// Compounds of one selector.
const STEPS_MAX: usize = 24;
/// Simple selectors of one compound, and compounds of one `:not()`.
const TESTS_MAX: usize = 16;

/// Reads a selector.
///
/// # Errors
///
/// What is wrong, with the text from there on.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, String> {
    let mut parser = Parser { rest: text.trim() };
    let mut alternatives = Vec::new();
    let mut steps_all = 0;
    loop {
        let steps = parser.complex()?;
        steps_all += steps.len();
        alternatives.push(steps);
        if steps_all > STEPS_MAX {
            return Err(format!("has more than {STEPS_MAX} compounds"));
        }
        parser.blanks();
        if parser.rest.is_empty() {
            return Ok(Selector { alternatives });
        }
        if !parser.take(',') {
            return Err(parser.unexpected());
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(format!("`{wanted}` is missing {}", self.place()))
        }
    }

    /// Whether there was white space.
    fn blanks(&mut self) -> bool {
        let trimmed = self.rest.trim_start();
        let found = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        found
    }

    fn place(&self) -> String {
        if self.rest.is_empty() {
            return "at the end".to_owned();
        }
        let end = self.rest.floor_char_boundary(30);
        format!("before `{}`", &self.rest[..end])
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            None => "ends too early".to_owned(),
            Some(character) => format!("`{character}` is unexpected {}", self.place()),
        }
    }

    fn complex(&mut self) -> Result<Vec<Step>, String> {
        self.blanks();
        let mut steps = vec![Step {
            relation: Relation::Anywhere,
            tests: self.compound()?,
        }];
        loop {
            let blank = self.blanks();
            let relation = match self.peek() {
                Some('>') => Relation::Child,
                Some('+') => Relation::Next,
                Some('~') => Relation::Later,
                None | Some(',') => return Ok(steps),
                Some(_) if blank => Relation::Descendant,
                Some(_) => return Err(self.unexpected()),
            };
            if relation != Relation::Descendant {
                self.next();
                self.blanks();
            }
            steps.push(Step {
                relation,
                tests: self.compound()?,
            });
            if steps.len() > STEPS_MAX {
                return Err(format!("has more than {STEPS_MAX} compounds"));
            }
        }
    }

    fn compound(&mut self) -> Result<Vec<Test>, String> {
        let mut tests = Vec::new();
        let mut is_any = false;
        if self.take('*') {
            is_any = true;
        } else if self.peek().is_some_and(starts_name) {
            let name = self.name()?;
            tests.push(type_test(&name)?);
        }
        loop {
            match self.peek() {
                Some('#') => {
                    self.next();
                    tests.push(Test::Id(self.name()?));
                }
                Some('.') => {
                    self.next();
                    tests.push(Test::Class(self.name()?));
                }
                Some('[') => {
                    self.next();
                    tests.push(self.attribute()?);
                }
                Some(':') => {
                    self.next();
                    self.pseudo_class(&mut tests)?;
                }
                _ if tests.is_empty() && !is_any => return Err(self.unexpected()),
                _ => return Ok(tests),
            }
            if tests.len() > TESTS_MAX {
                return Err(format!(
                    "has more than {TESTS_MAX} conditions on one element"
                ));
            }
        }
    }

    /// An identifier, escapes resolved: `md\:flex`, `\31 23`.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        while let Some(character) = self.peek() {
            if is_name(character) {
                name.push(character);
                self.next();
            } else if character == '\\' {
                self.next();
                name.push(self.escaped()?);
            } else {
                break;
            }
        }
        if name.is_empty() {
            return Err(format!("a name is missing {}", self.place()));
        }
        Ok(name)
    }

    fn escaped(&mut self) -> Result<char, String> {
        let digits = self
            .rest
            .bytes()
            .take(6)
            .take_while(u8::is_ascii_hexdigit)
            .count();
        if digits == 0 {
            return self.next().ok_or_else(|| "ends in `\\`".to_owned());
        }
        let code = u32::from_str_radix(&self.rest[..digits], 16).unwrap_or_default();
        self.rest = &self.rest[digits..];
        if self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
        char::from_u32(code)
            .filter(|c| *c != '\0')
            .ok_or_else(|| format!("an escape stands for no character {}", self.place()))
    }

    fn attribute(&mut self) -> Result<Test, String> {
        self.blanks();
        let name = LocalName::from(self.name()?.to_ascii_lowercase());
        self.blanks();
        if self.take(']') {
            let test = AttributeTest::Exists;
            return Ok(Test::Attribute { name, test });
        }
        let operator = match self.next() {
            Some('=') => Operator::Equals,
            Some('~') => Operator::Word,
            Some('|') => Operator::Language,
            Some('^') => Operator::Begins,
            Some('$') => Operator::Ends,
            Some('*') => Operator::Holds,
            _ => return Err(format!("`=` or `]` is missing {}", self.place())),
        };
        if operator != Operator::Equals {
            self.expect('=')?;
        }
        self.blanks();
        let value = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.next();
                self.string(quote)?
            }
            _ => self.name()?,
        };
        self.blanks();
        let ignore_case = self.take('i') || self.take('I');
        if !ignore_case {
            let _ = self.take('s') || self.take('S');
        }
        self.blanks();
        self.expect(']')?;
        let test = AttributeTest::Compare {
            operator,
            value,
            ignore_case,
        };
        Ok(Test::Attribute { name, test })
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        loop {
            match self.next() {
                None => return Err(format!("a {quote} is not closed")),
                Some('\\') => value.push(self.escaped()?),
                Some(character) if character == quote => return Ok(value),
                Some(character) => value.push(character),
            }
        }
    }

    fn pseudo_class(&mut self, tests: &mut Vec<Test>) -> Result<(), String> {
        const FIRST: Test = Test::NthChild { step: 0, offset: 1 };
        if self.peek() == Some(':') {
            return Err("`::` names no element: pseudo-elements cannot be selected".to_owned());
        }
        let name = self.name()?.to_ascii_lowercase();
        match name.as_str() {
            "first-child" => tests.push(FIRST),
            "last-child" => tests.push(Test::LastChild),
            "only-child" => tests.extend([FIRST, Test::LastChild]),
            "nth-child" => {
                self.expect('(')?;
                let end = self
                    .rest
                    .find(')')
                    .ok_or_else(|| "`)` is missing behind :nth-child(".to_owned())?;
                let (step, offset) = nth(&self.rest[..end])?;
                self.rest = &self.rest[end + 1..];
                tests.push(Test::NthChild { step, offset });
            }
            "not" => {
                self.expect('(')?;
                let mut compounds = Vec::new();
                loop {
                    self.blanks();
                    if self.rest.to_ascii_lowercase().starts_with(":not") {
                        return Err(":not() within :not() is not supported".to_owned());
                    }
                    let compound = self.compound()?;
                    if compound.iter().any(|test| matches!(test, Test::Not(_))) {
                        return Err(":not() within :not() is not supported".to_owned());
                    }
                    compounds.push(compound);
                    if compounds.len() > TESTS_MAX {
                        return Err(format!(":not() holds more than {TESTS_MAX} compounds"));
                    }
                    self.blanks();
                    if !self.take(',') {
                        break;
                    }
                }
                if !self.take(')') {
                    return Err(format!(
                        "`)` is missing {}; :not() takes no combinators",
                        self.place()
                    ));
                }
                tests.push(Test::Not(compounds));
            }
            _ => {
                return Err(format!(
                    "`:{name}` is not supported; there are :first-child, :last-child, \
                     :only-child, :nth-child() and :not()"
                ));
            }
        }
        Ok(())
    }
}

/// `odd`, `even`, `3`, `2n`, `-n+3`, `2n + 1`.
fn nth(text: &str) -> Result<(i32, i32), String> {
    let wrong = || format!("`{}` is no position; write 3, odd or 2n+1", text.trim());
    let compact: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect();
    let figure = |text: &str| -> Result<i32, String> {
        let figure: i32 = text.parse().map_err(|_| wrong())?;
        // Sums and products of these cannot overflow.
        if figure.abs() > 1_000_000 {
            return Err(wrong());
        }
        Ok(figure)
    };
    match compact.as_str() {
        "odd" => return Ok((2, 1)),
        "even" => return Ok((2, 0)),
        _ => {}
    }
    let Some((step, offset)) = compact.split_once('n') else {
        return Ok((0, figure(&compact)?));
    };
    let step = match step {
        "" | "+" => 1,
        "-" => -1,
        step => figure(step)?,
    };
    let offset = match offset {
        "" => 0,
        signed if signed.starts_with(['+', '-']) => figure(signed)?,
        _ => return Err(wrong()),
    };
    Ok((step, offset))
}

fn type_test(name: &str) -> Result<Test, String> {
    let name = LocalName::from(name.to_ascii_lowercase());
    match Tag::of(&name) {
        Tag::Html
        | Tag::Head
        | Tag::Title
        | Tag::Script
        | Tag::Style
        | Tag::Template
        | Tag::Noscript
        | Tag::Svg
        | Tag::Base
        | Tag::Iframe
        | Tag::Noembed
        | Tag::Noframes
        | Tag::Annotation
        | Tag::AnnotationXml
        | Tag::Datalist
        | Tag::Rp => Err(format!(
            "`{name}` is not part of what is read: the body, without scripts and frames"
        )),
        Tag::Other | Tag::Custom => Ok(Test::Name(name)),
        tag => Ok(Test::Tag(tag)),
    }
}

fn starts_name(character: char) -> bool {
    is_name(character) && !character.is_ascii_digit() || character == '\\'
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_') || !character.is_ascii()
}

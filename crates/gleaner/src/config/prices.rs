//! What language models cost, as configured.

use serde::Deserialize;

/// `MODEL INPUT OUTPUT`: what a million tokens cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Prices(Vec<Price>);

#[derive(Clone, Debug, PartialEq)]
struct Price {
    model: String,
    input: f64,
    output: f64,
}

impl Prices {
    /// Of so many tokens; `None` where the model has no price.
    pub fn cost(&self, model: &str, input: u64, output: u64) -> Option<f64> {
        let price = self.0.iter().find(|price| price.model == model)?;
        let sum = input as f64 * price.input + output as f64 * price.output;
        Some(sum / 1e6)
    }
}

impl TryFrom<Vec<String>> for Prices {
    type Error = String;

    fn try_from(lines: Vec<String>) -> Result<Prices, String> {
        let mut prices: Vec<Price> = Vec::new();
        for line in &lines {
            let price = price(line).ok_or_else(|| {
                format!(
                    "llm.prices: `{line}` is no price; write the model and what a million tokens \
                     of input and of output cost, such as \"some-model 0.40 1.60\""
                )
            })?;
            if prices.iter().any(|other| other.model == price.model) {
                return Err(format!("llm.prices: {} has two prices", price.model));
            }
            prices.push(price);
        }
        Ok(Prices(prices))
    }
}

fn price(line: &str) -> Option<Price> {
    let mut words = line.split_whitespace();
    let (model, input, output) = (words.next()?, words.next()?, words.next()?);
    let number = |text: &str| {
        let number: f64 = text.parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number)
    };
    let price = Price {
        model: model.to_owned(),
        input: number(input)?,
        output: number(output)?,
    };
    words.next().is_none().then_some(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Prices, String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Prices::try_from(lines)
    }

    #[test]
    fn each_model_has_its_price() {
        let prices = read(&["small 0.5  2", "local:7b 0 0"]).expect("prices");
        assert_eq!(prices.cost("small", 1_000_000, 250_000), Some(1.0));
        assert_eq!(prices.cost("local:7b", 1_000_000, 1), Some(0.0));
        assert_eq!(prices.cost("large", 1, 1), None);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        let wrong = [
            "",
            "small",
            "small 1",
            "small 1 x",
            "small 1 -1",
            "small 1 inf",
            "small 1 2 USD",
        ];
        for line in wrong {
            let error = read(&[line]).expect_err(line);
            assert!(error.contains("a million tokens"), "{error}");
        }
        assert!(read(&["a 1 1", "a 2 2"]).is_err());
    }
}

//! Money as whole micro-units of a currency: sums are exact, and what is unknown is never nought.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// Three capital letters, as in ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    pub const USD: Self = Self(*b"USD");

    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a currency is three capital letters"))
    }
}

/// What something cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Millionths of one unit of the currency.
    pub micros: u64,
    #[schema(value_type = String, example = "USD")]
    pub currency: Currency,
}

/// What is owed in each currency, in the order in which they first come. Nothing is converted.
pub fn sum(costs: impl IntoIterator<Item = Cost>) -> Vec<Cost> {
    let mut sums: Vec<Cost> = Vec::new();
    for cost in costs {
        match sums.iter_mut().find(|sum| sum.currency == cost.currency) {
            Some(sum) => sum.micros = sum.micros.saturating_add(cost.micros),
            None => sums.push(cost),
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(Currency::parse("USD"), Some(Currency::USD));
        for text in ["", "US", "USDX", "usd", "U1D", "€"] {
            assert_eq!(Currency::parse(text), None, "{text}");
        }
        let cost = Cost { micros: 1_250_000, currency: Currency::USD };
        let json = serde_json::json!({"micros": 1_250_000, "currency": "USD"});
        assert_eq!(serde_json::to_value(cost).unwrap(), json);
        assert_eq!(serde_json::from_value::<Cost>(json).unwrap(), cost);
    }

    #[test]
    fn sums_are_exact_and_keep_currencies_apart() {
        let of = |micros, text| Cost { micros, currency: Currency::parse(text).unwrap() };
        assert_eq!(sum([]), []);
        let costs = [of(1, "USD"), of(7, "EUR"), of(2, "USD"), of(u64::MAX, "EUR")];
        assert_eq!(sum(costs), [of(3, "USD"), of(u64::MAX, "EUR")]);
        assert_eq!(sum((0..1_000_000).map(|_| of(1, "USD"))), [of(1_000_000, "USD")]);
    }
}

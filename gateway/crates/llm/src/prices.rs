//! What a call cost, from a dated file. Money is whole micro-units; a sum is rounded once, upwards, and what nobody
//! told the price of has no cost at all.

use adjutant_core::cost::{Cost, Currency};
use adjutant_core::model::Usage;
use chrono::NaiveDate;
use reqwest::Url;
use serde::Deserialize;

use crate::settings::Provider;

const SHIPPED: &str = include_str!("../prices.toml");
/// Micro-units in one unit, and tokens in a million.
const MILLION: u64 = 1_000_000;
/// An origin that stands for the machine itself.
const LOOPBACK: &str = "loopback";
/// A model that stands for all of its provider.
const ANY: &str = "*";

/// Price lists, those that count first in front.
#[derive(Debug, Clone, Default)]
pub struct Prices(Vec<List>);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    provider: Vec<RawList>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    name: String,
    origins: Vec<String>,
    currency: String,
    date: String,
    source: String,
    #[serde(default)]
    model: Vec<RawPrice>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    name: String,
    input: String,
    output: String,
    cache_read: Option<String>,
    cache_write: Option<String>,
    long: Option<RawLong>,
    context_tokens: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLong {
    over_tokens: u64,
    input: String,
    output: String,
    cache_read: Option<String>,
    cache_write: Option<String>,
}

#[derive(Debug, Clone)]
struct List {
    provider: Provider,
    origins: Vec<String>,
    currency: Currency,
    date: NaiveDate,
    source: String,
    models: Vec<Price>,
}

#[derive(Debug, Clone)]
struct Price {
    name: String,
    rates: Rates,
    /// Those of a whole call whose prompt has more tokens than this.
    long: Option<(u64, Rates)>,
    /// How much a prompt may hold, where the list says it.
    context_tokens: Option<u64>,
}

/// What a list says of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of a million tokens of a prompt that is neither cached nor long.
    pub(crate) input: Cost,
    /// Of a million tokens of the answer.
    pub(crate) output: Cost,
    pub(crate) context_tokens: Option<u64>,
}

/// Micro-units per million tokens.
#[derive(Debug, Clone, Copy)]
struct Rates {
    input: u64,
    output: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
}

/// Why a price file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    #[error("the price file is not valid: {0}")]
    Form(String),
    #[error("the price file names the provider {0:?}, which is not known")]
    Provider(String),
    #[error("the price file holds {0:?}, which is no currency of three capital letters")]
    Currency(String),
    #[error("the price file holds {0:?}, which is no day like 2026-11-24")]
    Date(String),
    #[error("the price file holds {0:?}, which is no price with at most six decimals")]
    Amount(String),
}

impl Prices {
    /// The lists that this version ships.
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).unwrap_or_default()
    }

    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let file: File = toml::from_str(text).map_err(|error| PriceError::Form(error.message().to_owned()))?;
        file.provider.into_iter().map(List::try_from).collect::<Result<_, _>>().map(Self)
    }

    /// These before those.
    #[must_use]
    pub fn before(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// One line per list, for `doctor`.
    pub fn describe(&self) -> Vec<String> {
        let line = |list: &List| {
            let (name, count, date) = (list.provider.as_str(), list.models.len(), list.date);
            format!("{name}: {count} models in {}, as of {date}, from {}", list.currency, list.source)
        };
        self.0.iter().map(line).collect()
    }

    /// What a call cost; `None` where a price that it needs is not known.
    pub(crate) fn cost(&self, provider: Provider, origin: &str, model: &str, usage: Usage) -> Option<Cost> {
        let (list, price) = self.find(provider, origin, model)?;
        let micros = price.rates(usage).micros(usage)?;
        Some(Cost { micros, currency: list.currency })
    }

    pub(crate) fn told(&self, provider: Provider, origin: &str, model: &str) -> Option<Told> {
        let (list, price) = self.find(provider, origin, model)?;
        let cost = |micros| Cost { micros, currency: list.currency };
        let Rates { input, output, .. } = price.rates;
        Some(Told { input: cost(input), output: cost(output), context_tokens: price.context_tokens })
    }

    fn find(&self, provider: Provider, origin: &str, model: &str) -> Option<(&List, &Price)> {
        let mut lists = self.0.iter().filter(|list| list.provider == provider && list.is_for(origin));
        lists.find_map(|list| Some((list, list.models.iter().find(|price| price.is_for(model))?)))
    }
}

impl List {
    fn is_for(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == origin || (known == LOOPBACK && is_loopback(origin)))
    }
}

impl Price {
    fn is_for(&self, model: &str) -> bool {
        if self.name == ANY {
            return !model.ends_with("-cloud") && !model.ends_with(":cloud");
        }
        let Some(rest) = model.strip_prefix(&self.name) else { return false };
        let Some(suffix) = rest.strip_prefix('-') else { return rest.is_empty() };
        let digits = suffix.bytes().filter(u8::is_ascii_digit).count();
        let is_date = digits == 8 && suffix.bytes().all(|c| c.is_ascii_digit() || c == b'-');
        suffix == "latest" || is_date
    }

    fn rates(&self, usage: Usage) -> Rates {
        self.long.filter(|(over, _)| usage.input_tokens > *over).map_or(self.rates, |(_, rates)| rates)
    }
}

impl Rates {
    fn parse(input: &str, output: &str, read: Option<&str>, write: Option<&str>) -> Result<Self, PriceError> {
        Ok(Self {
            input: micros(input)?,
            output: micros(output)?,
            cache_read: read.map(micros).transpose()?,
            cache_write: write.map(micros).transpose()?,
        })
    }

    fn micros(self, usage: Usage) -> Option<u64> {
        let plain = usage.input_tokens.checked_sub(usage.cached_input_tokens)?.checked_sub(usage.cache_write_tokens)?;
        // Where writing has no price of its own it is read like anything else.
        let written = self.cache_write.unwrap_or(self.input);
        let mut micros = u128::from(plain) * u128::from(self.input);
        micros += u128::from(usage.cache_write_tokens) * u128::from(written);
        micros += u128::from(usage.output_tokens) * u128::from(self.output);
        if usage.cached_input_tokens > 0 {
            micros += u128::from(usage.cached_input_tokens) * u128::from(self.cache_read?);
        }
        u64::try_from(micros.div_ceil(u128::from(MILLION))).ok()
    }
}

impl TryFrom<RawList> for List {
    type Error = PriceError;

    fn try_from(raw: RawList) -> Result<Self, PriceError> {
        let price = |raw: RawPrice| {
            let rates = Rates::parse(&raw.input, &raw.output, raw.cache_read.as_deref(), raw.cache_write.as_deref())?;
            let long = raw.long.map(|long| {
                let (read, write) = (long.cache_read.as_deref(), long.cache_write.as_deref());
                Ok((long.over_tokens, Rates::parse(&long.input, &long.output, read, write)?))
            });
            let context_tokens = raw.context_tokens;
            Ok(Price { name: raw.name, rates, long: long.transpose()?, context_tokens })
        };
        Ok(Self {
            provider: Provider::parse(&raw.name).ok_or(PriceError::Provider(raw.name))?,
            origins: raw.origins,
            currency: Currency::parse(&raw.currency).ok_or(PriceError::Currency(raw.currency))?,
            date: raw.date.parse().map_err(|_| PriceError::Date(raw.date))?,
            source: raw.source,
            models: raw.model.into_iter().map(price).collect::<Result<_, _>>()?,
        })
    }
}

fn is_loopback(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// `1.25` as 1,250,000. Never through a float.
fn micros(text: &str) -> Result<u64, PriceError> {
    let wrong = || PriceError::Amount(text.to_owned());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_mul(MILLION).and_then(|whole| whole.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANTHROPIC: &str = "https://api.anthropic.com";

    fn cost(provider: Provider, origin: &str, model: &str, usage: Usage) -> Option<u64> {
        Prices::shipped().cost(provider, origin, model, usage).map(|cost| cost.micros)
    }

    fn tokens(plain: u64, cached: u64, written: u64, output: u64) -> Usage {
        Usage {
            input_tokens: plain + cached + written,
            output_tokens: output,
            cached_input_tokens: cached,
            cache_write_tokens: written,
        }
    }

    #[test]
    fn each_kind_of_token_has_its_own_price() {
        let of = |usage| cost(Provider::Anthropic, ANTHROPIC, "claude-sonnet-4-5", usage);
        let million = 1_000_000;
        assert_eq!(of(tokens(million, 0, 0, 0)), Some(3_000_000));
        assert_eq!(of(tokens(0, million, 0, 0)), Some(300_000));
        assert_eq!(of(tokens(0, 0, million, 0)), Some(3_750_000));
        assert_eq!(of(tokens(0, 0, 0, million)), Some(15_000_000));
        assert_eq!(of(tokens(1_000, 2_000, 400, 100)), Some(3_000 + 600 + 1_500 + 1_500));
        assert_eq!(of(tokens(0, 0, 0, 0)), Some(0));
    }

    #[test]
    fn a_sum_is_rounded_once_and_upwards() {
        let of = |usage| cost(Provider::OpenAi, "https://api.openai.com", "gpt-5-nano", usage);
        // 0.05 and 0.4 and 0.005 micro-units for one token each.
        assert_eq!(of(tokens(1, 0, 0, 0)), Some(1));
        assert_eq!(of(tokens(1, 1, 0, 1)), Some(1));
        assert_eq!(of(tokens(20, 0, 0, 0)), Some(1));
        assert_eq!(of(tokens(21, 0, 0, 0)), Some(2));
    }

    #[test]
    fn a_long_prompt_has_prices_of_its_own_for_the_whole_call() {
        let of = |model, usage| cost(Provider::OpenAi, "https://api.openai.com", model, usage);
        assert_eq!(of("gpt-6.1-terra", tokens(72_000, 200_000, 0, 1_000)), Some(72_000 + 10_000 + 5_000));
        assert_eq!(of("gpt-6.1-terra", tokens(72_001, 200_000, 0, 1_000)), Some(144_002 + 20_000 + 7_500));
        assert_eq!(of("gpt-5.1", tokens(300_000, 0, 0, 0)), Some(375_000));
        let haiku = |usage| cost(Provider::Anthropic, ANTHROPIC, "claude-haiku-5-5", usage);
        assert_eq!(haiku(tokens(0, 0, 100_000, 0)), Some(12_500));
        assert_eq!(haiku(tokens(0, 1, 100_000, 0)), Some(62_501));
    }

    #[test]
    fn each_shipped_list_says_of_which_day_it_is_and_from_where() {
        let told = Prices::shipped().describe();
        assert_eq!(told.len(), 3, "{told:?}");
        for list in Prices::shipped().0 {
            assert!(list.date >= NaiveDate::from_ymd_opt(2026, 10, 1).unwrap(), "{list:?}");
            assert!(list.source.starts_with("https://") || list.source == "own hardware", "{list:?}");
            let mut names: Vec<_> = list.models.iter().map(|price| &price.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), list.models.len(), "a model has two prices");
        }
    }

    #[test]
    fn what_nobody_told_the_price_of_costs_an_unknown_sum() {
        let usage = tokens(1_000, 0, 0, 1_000);
        for (provider, origin, model) in [
            (Provider::Anthropic, ANTHROPIC, "claude-unheard-of"),
            (Provider::Anthropic, ANTHROPIC, "claude-sonnet-4-55"),
            (Provider::Anthropic, "https://proxy.example", "claude-sonnet-4-5"),
            (Provider::OpenAi, ANTHROPIC, "claude-sonnet-4-5"),
            (Provider::OpenAi, "https://api.openai.com", "gpt-5-mini-2"),
            (Provider::OpenAi, "https://api.openai.com", "gpt-5-pro"),
            (Provider::Ollama, "https://ollama.com", "qwen3"),
            (Provider::Ollama, "http://127.0.0.1:11434", "gpt-oss:120b-cloud"),
        ] {
            assert_eq!(cost(provider, origin, model, usage), None, "{origin} {model}");
        }
        assert_eq!(cost(Provider::Ollama, "http://localhost:11434", "qwen3:8b", usage), Some(0));
        let impossible = Usage { input_tokens: 1, cached_input_tokens: 2, ..Usage::default() };
        assert_eq!(cost(Provider::Anthropic, ANTHROPIC, "claude-sonnet-4-5", impossible), None);
        let huge = tokens(u64::MAX, 0, 0, 0);
        assert_eq!(cost(Provider::Anthropic, ANTHROPIC, "claude-sonnet-4-5", huge), None);
    }

    #[test]
    fn a_name_stands_for_its_dated_forms() {
        let usage = tokens(1_000_000, 0, 0, 0);
        let anthropic = |model| cost(Provider::Anthropic, ANTHROPIC, model, usage);
        assert_eq!(anthropic("claude-sonnet-4-5-20250929"), Some(3_000_000));
        assert_eq!(anthropic("claude-haiku-4-5-latest"), Some(1_000_000));
        assert_eq!(cost(Provider::OpenAi, "https://api.openai.com", "gpt-5-mini-2025-08-07", usage), Some(250_000));
    }

    #[test]
    fn an_operators_list_counts_before_the_shipped_one() {
        let own = r#"
            [[provider]]
            name = "openai"
            origins = ["https://llm.example", "https://api.openai.com"]
            currency = "EUR"
            date = "2026-11-01"
            source = "contract"
            [[provider.model]]
            name = "gpt-5-mini"
            input = "0.000001"
            output = "2"
        "#;
        let prices = Prices::parse(own).unwrap().before(Prices::shipped());
        let of = |origin, model, usage| prices.cost(Provider::OpenAi, origin, model, usage);
        let eur = Currency::parse("EUR").unwrap();
        let usage = tokens(1_000_000, 0, 0, 1_000_000);
        assert_eq!(of("https://llm.example", "gpt-5-mini", usage), Some(Cost { micros: 2_000_001, currency: eur }));
        // The shipped list has the model that the own one has not.
        assert_eq!(of("https://api.openai.com", "gpt-5", usage).map(|cost| cost.currency), Some(Currency::USD));
        // Reading from a cache has no price there.
        assert_eq!(of("https://llm.example", "gpt-5-mini", tokens(0, 1, 0, 0)), None);
    }

    #[test]
    fn a_file_that_is_wrong_says_what_is() {
        let list = |field: &str, value: &str| {
            let mut fields =
                vec![("name", "openai"), ("currency", "USD"), ("date", "2026-11-01"), ("source", "x"), ("input", "1")];
            for entry in &mut fields {
                if entry.0 == field {
                    entry.1 = value;
                }
            }
            let of = |name: &str| fields.iter().find(|entry| entry.0 == name).unwrap().1;
            format!(
                "[[provider]]\nname = \"{}\"\norigins = []\ncurrency = \"{}\"\ndate = \"{}\"\nsource = \"{}\"\n\
                 [[provider.model]]\nname = \"m\"\ninput = \"{}\"\noutput = \"1\"\n",
                of("name"),
                of("currency"),
                of("date"),
                of("source"),
                of("input")
            )
        };
        assert!(Prices::parse(&list("", "")).is_ok());
        let error = |field, value: &str| Prices::parse(&list(field, value)).unwrap_err();
        assert_eq!(error("name", "nobody"), PriceError::Provider("nobody".to_owned()));
        assert_eq!(error("currency", "usd"), PriceError::Currency("usd".to_owned()));
        assert_eq!(error("date", "soon"), PriceError::Date("soon".to_owned()));
        for amount in ["", "1.", ".5", "-1", "1e3", "0.0000001", "1,5", "99999999999999999999"] {
            assert_eq!(error("input", amount), PriceError::Amount(amount.to_owned()));
        }
        assert!(matches!(Prices::parse("[[provider]]\nname = 7\n"), Err(PriceError::Form(_))));
        assert!(!Prices::shipped().0.is_empty());
    }
}

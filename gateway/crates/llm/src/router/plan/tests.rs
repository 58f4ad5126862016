use super::*;

fn key(provider: &str, preferred: Option<&str>) -> ProviderKey {
    ProviderKey {
        provider: provider.to_owned(),
        api_key: "a key".into(),
        preferred_model: preferred.map(str::to_owned),
        origin: String::new(),
    }
}

fn name(text: &str) -> ModelName {
    ModelName::parse(text, None).unwrap()
}

fn setup() -> Setup {
    Setup {
        default_provider: Some(Provider::OpenAi),
        chain: vec![name("openai/big"), name("anthropic/claude"), name("openai/old")],
        small: Some(name("openai/little")),
        providers: vec![Provider::OpenAi, Provider::Anthropic],
    }
}

/// `u` or `o` for who pays, and the model.
fn chosen(setup: &Setup, models: &[&str], purpose: Purpose, keys: &[ProviderKey], operator: bool) -> String {
    let models: Vec<String> = models.iter().map(|&model| model.to_owned()).collect();
    let access = ModelAccess { keys: keys.to_vec(), operator };
    match choose(setup, &models, purpose, &access) {
        Ok(choices) => {
            let shown = choices.iter().map(|choice| {
                let payer = if choice.key.is_some() { "u" } else { "o" };
                format!("{payer}:{}", choice.name)
            });
            shown.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.kind.code().to_owned(),
    }
}

#[test]
fn names_of_known_providers_count_and_others_are_part_of_the_model() {
    let parsed = |text: &str| ModelName::parse(text, Some(Provider::OpenAi)).map(|name| name.to_string());
    assert_eq!(parsed(" anthropic/claude ").as_deref(), Some("anthropic/claude"));
    assert_eq!(parsed("openai/meta/llama").as_deref(), Some("openai/meta/llama"));
    assert_eq!(parsed("meta/llama").as_deref(), Some("openai/meta/llama"));
    assert_eq!(parsed("gpt").as_deref(), Some("openai/gpt"));
    for text in ["", " ", "anthropic/", "a\nb", &"x".repeat(NAME_BYTES + 1)] {
        assert_eq!(parsed(text), None, "{text:?}");
    }
    assert_eq!(ModelName::parse("gpt", None), None);
}

#[test]
fn the_operators_models_are_asked_in_order_where_the_user_may() {
    let all = "o:openai/big o:anthropic/claude o:openai/old";
    assert_eq!(chosen(&setup(), &[], Purpose::Answer, &[], true), all);
    assert_eq!(chosen(&setup(), &[], Purpose::Small, &[], true), format!("o:openai/little {all}"));
    assert_eq!(chosen(&setup(), &[], Purpose::Answer, &[], false), "llm_key_required");
    assert_eq!(chosen(&Setup::default(), &[], Purpose::Answer, &[], true), "model_not_configured");
    assert_eq!(chosen(&Setup::default(), &[], Purpose::Answer, &[], false), "llm_key_required");
}

#[test]
fn a_user_with_a_key_of_their_own_pays_for_all() {
    for operator in [false, true] {
        let of = |purpose, keys: &[ProviderKey]| chosen(&setup(), &[], purpose, keys, operator);
        let (plain, preferring) = (key("anthropic", None), key("anthropic", Some("opus")));
        assert_eq!(of(Purpose::Answer, std::slice::from_ref(&plain)), "u:anthropic/claude");
        assert_eq!(of(Purpose::Answer, std::slice::from_ref(&preferring)), "u:anthropic/opus u:anthropic/claude");
        assert_eq!(of(Purpose::Small, &[preferring]), "u:anthropic/opus u:anthropic/claude");
        let both = [key("openai", None), plain];
        assert_eq!(of(Purpose::Small, &both), "u:openai/little u:openai/big u:anthropic/claude u:openai/old");
        let nobodys = Setup::default();
        assert_eq!(
            chosen(&nobodys, &[], Purpose::Answer, &[key("openai", None)], operator),
            "u:openai/gpt-5.4-mini",
            "its usual model"
        );
    }
}

#[test]
fn chosen_models_are_asked_with_the_key_there_is() {
    let models = ["anthropic/opus", "big", "ollama/qwen3"];
    let of = |keys: &[ProviderKey], operator| chosen(&setup(), &models, Purpose::Answer, keys, operator);
    assert_eq!(of(&[], true), "o:anthropic/opus o:openai/big");
    assert_eq!(of(&[key("anthropic", None)], true), "u:anthropic/opus o:openai/big");
    assert_eq!(of(&[key("anthropic", None)], false), "u:anthropic/opus");
    assert_eq!(of(&[], false), "llm_key_required");
    let preferred = key("openai", Some("anthropic/opus"));
    let of = chosen(&Setup::default(), &[], Purpose::Answer, &[preferred], false);
    assert_eq!(of, "u:openai/gpt-5.4-mini", "a key's preference for another provider is none");
}

/// SAFETY 12: a hundred ways to lose a user's key, none of which leads to the operator's.
#[test]
fn no_way_to_lose_a_key_leads_to_the_operators() {
    let lost_keys = ["", " ", "\n", "\t \r\n"];
    let lost_providers =
        ["", "OpenAI", "openai ", "open_ai", "llm_openai", "azure", "Anthropic", "x", "openai/big", "\0"];
    let mut ways = 0;
    for models in [&[][..], &["openai/big"], &["big"], &["openai/big", "openai/old"]] {
        for purpose in [Purpose::Answer, Purpose::Small] {
            // The user may use the operator's, but has a key: an empty one is refused, not replaced.
            for lost in lost_keys {
                let lost = ProviderKey { api_key: lost.into(), ..key("openai", None) };
                for operator in [false, true] {
                    let said = chosen(&setup(), models, purpose, std::slice::from_ref(&lost), operator);
                    assert_eq!(said, "llm_key_required", "{models:?}");
                    ways += 1;
                }
            }
            // Without the grant nothing that is stored wrongly is taken for a key.
            for provider in lost_providers {
                let said = chosen(&setup(), models, purpose, &[key(provider, Some("big"))], false);
                assert_eq!(said, "llm_key_required", "{provider:?} {models:?}");
                ways += 1;
            }
        }
    }
    // With the grant a key under a strange name still stops what nobody chose.
    for provider in lost_providers {
        assert_eq!(chosen(&setup(), &[], Purpose::Answer, &[key(provider, None)], true), "llm_key_required");
        ways += 1;
    }
    assert!(ways >= 100, "{ways}");
}

#[test]
fn a_list_is_cut_and_names_nothing_twice() {
    let many: Vec<String> = (0..40).map(|n| format!("m{}", n % 20)).collect();
    let access = ModelAccess::operator();
    let choices = choose(&setup(), &many, Purpose::Answer, &access).unwrap();
    let names: Vec<String> = choices.iter().map(|choice| choice.name.model.clone()).collect();
    assert_eq!(names, (0..limits::MODEL_CHAIN).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

//! `GET /api/me`: who a key is, and what it may do.

use adjutant_core::model::ModelError;
use adjutant_core::scope::{ProfileName, Role, UserId};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    #[schema(value_type = String)]
    pub user: UserId,
    pub display_name: String,
    /// The profile that this request acts in.
    #[schema(value_type = String)]
    pub profile: ProfileName,
    /// The key opens every profile; `X-Profile` picks one.
    pub all_profiles: bool,
    #[schema(value_type = String)]
    pub role: Role,
    /// The public part of the key, by which it is listed and revoked.
    pub key_id: String,
    pub grants: Grants,
    pub models: Models,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grants {
    /// The operator's model keys may be used where you have none of your own.
    pub operator_llm: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Models {
    /// Which would be asked, in order.
    pub usable: Vec<String>,
    /// Why none may be, and what to do.
    pub trouble: Option<Trouble>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    pub code: &'static str,
    pub message: String,
}

/// Who you are here, and which models you may use
#[utoipa::path(get, path = "/api/me", responses((status = 200, body = Me)))]
pub(super) async fn get(State(app): State<App>, user: UserScope) -> Result<Json<Me>, Problem> {
    let about = app.engine().about(&user.scope).await?;
    Ok(Json(Me {
        display_name: about.display_name,
        all_profiles: user.identity.profile.is_none(),
        role: user.identity.role,
        key_id: user.identity.key_id.clone(),
        grants: Grants { operator_llm: about.operator_llm },
        models: models(about.models),
        user: user.scope.user,
        profile: user.scope.profile,
    }))
}

fn models(planned: Result<Vec<String>, ModelError>) -> Models {
    match planned {
        Ok(usable) => Models { usable, trouble: None },
        Err(error) => {
            let trouble = Trouble { code: error.kind.code(), message: error.message };
            Models { usable: Vec::new(), trouble: Some(trouble) }
        }
    }
}

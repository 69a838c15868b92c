"""Resources: what administrators see of users, and their roles."""

from __future__ import annotations

from typing import assert_never

import falcon

from aurora_atlan.http import schemas
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.representations import respond, user_json
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.audit_log import Deed
from aurora_atlan.persistence.token_versions import TokenVersions
from aurora_atlan.persistence.users import RoleRefusal, User, UserStore

_ADMINISTRATORS = frozenset({"ADMIN"})


class AnyUser:
    """GET /api/admin/users/{id}."""

    def __init__(self, users: UserStore, authenticator: Authenticator) -> None:
        self._users = users
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Show a user."""
        self._authenticator.required(req, _ADMINISTRATORS)
        user = self._users.by_id(path_id(req, user_id))
        if user is None:
            raise _unknown_user()
        respond(resp, user_json(user))

    on_head = on_get


class UserRole:
    """PUT /api/admin/users/{id}/role."""

    def __init__(self, users: UserStore, versions: TokenVersions, authenticator: Authenticator) -> None:
        self._users = users
        self._versions = versions
        self._authenticator = authenticator
        self._validator = Validator(schemas.CHANGE_ROLE)

    def on_put(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        """Give a user a role, which voids the tokens issued before; the same role changes nothing."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        wanted_user = path_id(req, user_id)
        role = self._validator.check(read_json(req))["role"]

        def noted(before: User, after: User) -> Deed:
            roles = {"before": {"role": before.role}, "after": {"role": after.role}}
            return deed(req, admin, "user.role", f"user {wanted_user}", **roles)

        user = self._users.change_role(wanted_user, role, noted)
        match user:
            case User():
                self._versions.note(user.id, user.token_version)
                respond(resp, user_json(user))
            case RoleRefusal.UNKNOWN_USER:
                raise _unknown_user()
            case RoleRefusal.LAST_ADMIN:
                raise Problem(409, "last-admin", "This is the only administrator who can log in; name another first.")
            case _:
                assert_never(user)


def _unknown_user() -> Problem:
    return Problem(404, "unknown-user", "There is no user with this id.")

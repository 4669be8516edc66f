"""The tests that must notice a mutant: the nearest and fastest that hold what it takes away."""

from __future__ import annotations

_CLAIMS, _TOKENS, _KEYS = "tests/test_claims.py::test_", "tests/test_tokens.py::test_", "tests/test_keys.py::test_"
KEY_SETS, _SOURCE, _RING, _HTTP = (
    "tests/test_key_sets.py::test_",
    "tests/test_key_source.py::test_",
    "tests/test_keyring.py::test_",
    "tests/test_issuer_http.py::test_",
)
_DOCTOR, _PROBLEMS = "tests/test_doctor_token.py::test_", "tests/test_problems.py::test_"
KINDS, WEAK = "tests/test_two_kinds_of_keys.py::test_", "tests/test_weak_keys.py::test_"
_UNKNOWN = "tests/test_unknown_keys.py::test_"
UNKNOWN = (
    _UNKNOWN + "unknown_keys_cause_no_more_than_one_fetch_at_a_time_and_none_within_the_pace",
    _UNKNOWN + "a_key_that_a_fetch_did_not_bring_is_refused_without_another_for_a_minute",
    _UNKNOWN + "a_fetch_that_began_before_a_key_was_asked_for_says_nothing_of_it",
)
_UNNAMED = "tests/test_unnamed_keys.py::test_"
UNNAMED = (
    _UNNAMED + "the_first_token_of_a_key_that_took_anothers_place_is_accepted",
    _UNNAMED + "a_token_that_a_fetch_brought_no_key_for_is_refused_without_another_for_a_minute",
    _UNNAMED + "wrong_signatures_that_say_nothing_of_new_keys_ask_nobody",
)
_RSA = (WEAK + "an_rsa_key_whose_modulus_is_prime_is_not_used", WEAK + "an_rsa_key_with_a_small_factor_is_not_used")
_ED25519 = (WEAK + "an_ed25519_key_that_is_no_point_is_not_used",)
_CONDITIONS = (
    _CLAIMS + "a_token_without_a_required_claim_is_refused",
    _CLAIMS + "a_token_with_a_rejected_claim_is_refused",
    _CLAIMS + "a_claim_may_be_required_or_rejected_whatever_its_value",
)
_SHAPES = (
    _TOKENS + "a_header_that_is_not_one_plain_object_is_refused",
    _CLAIMS + "a_payload_that_is_not_one_plain_object_is_refused",
)
_LOOKED_AGAIN = (
    _HTTP + "a_key_that_is_new_verifies_nothing_but_what_it_signed",
    _HTTP + "a_key_that_the_issuer_adds_works_at_its_first_token",
)
WITHDRAWN = (_RING + "a_key_that_is_withdrawn_is_trusted_no_more_nor_what_it_verified",)
# Which tests hold what of `identity/`: those of the first entry whose text is in a mutant's name. They are the nearest
# and fastest, so that trying them all takes minutes; many more hold the same.
IDENTITY = {
    "claims.py ClaimRules._check_conditions": _CONDITIONS,
    "claims.py ClaimRules.read: self._check_conditions": _CONDITIONS,
    "claims.py ClaimRules.read: it has no expiry": (_CLAIMS + "a_token_without_an_expiry_is_refused",),
    "claims.py ClaimRules.read: it is from another": (_CLAIMS + "the_issuer_is_compared_exactly",),
    "claims.py ClaimRules.read: its user claim": (_CLAIMS + "a_user_that_is_no_plain_string_is_refused",),
    "claims.py ClaimRules.read: self._check_audience": (_CLAIMS + "another_audience_is_refused",),
    "claims.py ClaimRules._check_audience": (_CLAIMS + "another_audience_is_refused",),
    "claims.py ClaimRules.check_times": (
        _CLAIMS + "a_token_expires_leeway_seconds_after_its_expiry",
        _CLAIMS + "a_token_begins_leeway_seconds_before_it_says",
    ),
    "claims.py _numeric_date": (_CLAIMS + "a_time_that_is_no_finite_number_is_refused",),
    "encoding.py decode_base64url": (KEY_SETS + "a_malformed_key_is_not_used_and_spoils_no_other",),
    "encoding.py is_base64url": (_TOKENS + "a_token_is_written_in_one_way_only",),
    "encoding.py": _SHAPES,
    "issuer.py KeySource.__init__": (_SOURCE + "an_address_that_nothing_should_be_fetched_from_is_refused",),
    "issuer.py KeySource.fetch": (_SOURCE + "what_is_no_document_is_refused",),
    "issuer.py KeySource._discover": (
        _SOURCE + "what_is_no_document_is_refused",
        _SOURCE + "a_discovery_document_of_another_issuer_is_refused_with_its_name",
        _SOURCE + "a_discovery_document_without_a_proper_address_is_refused",
        _SOURCE + "an_issuer_elsewhere_cannot_point_to_this_machine",
        _SOURCE + "an_issuer_that_speaks_https_cannot_point_to_http",
    ),
    "issuer.py": ("tests/test_key_source.py",),
    "jwks.py _public_key": (KEY_SETS + "a_key_of_an_unknown_kind_is_told_from_one_that_is_weak",),
    "jwks.py _Reading._key: behind so many": (WEAK + "a_set_of_very_many_large_keys_costs_no_more_than_a_bound",),
    "jwks.py _integer: written with zeros": (WEAK + "a_number_that_begins_with_zeros_is_another_spelling_of_a_key",),
    "jwks.py": ("tests/test_key_sets.py",),
    "keyring.py load_keys: A secret and public keys": (
        KINDS + "both_are_used_together_only_where_algorithms_of_both_are_named",
    ),
    "keyring.py load_keys: A secret is the public": (
        KINDS + "a_secret_that_is_a_published_key_in_any_spelling_is_refused[ES256]",
    ),
    "keyring.py load_keys": (
        _KEYS + "without_any_key_the_sentence_names_all_ways_to_give_one",
        _KEYS + "an_algorithm_that_is_not_known_is_refused_by_a_sentence_with_those_that_are",
    ),
    "fetched.py FetchedKeys.look_again": (
        _RING + "requests_for_unknown_keys_do_not_hammer_an_issuer_that_was_never_reached",
        _RING + "only_so_many_wait_for_a_fetch",
        _RING + "nobody_waits_for_an_issuer_that_was_out_of_reach_just_now",
        _RING + "after_closing_nothing_is_fetched",
    ),
    "fetched.py FetchedKeys.load": (KINDS + "a_secret_that_is_a_published_key_in_any_spelling_is_refused[ES256]",),
    "fetched.py": ("tests/test_keyring.py", *UNKNOWN),
    "exposure.py": (KINDS + "a_secret_that_is_a_published_key_in_any_spelling_is_refused[ES256]",),
    "wire.py": (_SOURCE + "an_answer_that_never_ends_is_ended_by_its_bytes_and_not_by_its_time",),
    "weaknesses.py": _RSA + _ED25519,
    "keys.py VerificationKey.__post_init__": (_KEYS + "no_key_can_be_made_for_an_algorithm_of_the_other_kind",),
    "keys.py algorithms_of: an RSA key so large": (KEY_SETS + "an_rsa_key_that_would_be_slow_is_not_used",),
    "keys.py algorithms_of: an RSA key {weakness}": _RSA,
    "keys.py algorithms_of: an Ed25519 key {weakness}": _ED25519,
    "keys.py": ("tests/test_keys.py", "tests/test_key_sets.py"),
    "owner.py BearerToken": (
        _PROBLEMS + "of_several_mistakes_the_first_in_order_is_told",
        _PROBLEMS + "two_authorization_headers_are_no_token",
        _PROBLEMS + "a_token_that_is_not_ascii_is_not_accepted",
        "tests/test_isolation_http.py::test_without_a_good_token_it_is_401_and_no_database",
    ),
    "owner.py identity: InvalidToken": (
        "tests/test_isolation_http.py::test_without_a_good_token_it_is_401_and_no_database",
    ),
    "owner.py identity: InsufficientScope": ("tests/test_scopes.py::test_every_route_needs_its_scope",),
    "owner.py _verify_with_newer_keys: InvalidToken": _LOOKED_AGAIN,
    "owner.py _verify_with_newer_keys: KeysUnavailable": (
        _HTTP + "before_any_key_was_asked_for_no_token_is_called_bad",
        _HTTP + "an_issuer_that_is_down_matters_only_to_who_was_not_there_before",
    ),
    "tokens.py Verifier.verify: it is longer": (_TOKENS + "a_token_longer_than_8_kib_is_refused",),
    "tokens.py Verifier.verify: self._rules.check_times": (
        "tests/test_remembered_tokens.py::test_a_verified_token_is_not_verified_again_but_for_its_times",
    ),
    "tokens.py Verifier._verify_signed: self._rules.check_times": (
        _CLAIMS + "a_token_expires_leeway_seconds_after_its_expiry",
    ),
    "tokens.py Verifier.explain": (_DOCTOR + "what_is_no_token_is_told_apart",),
    "tokens.py Verifier._verify_signed: it is not three": (
        _DOCTOR + "what_is_no_token_is_told_apart",
        _TOKENS + "a_token_is_written_in_one_way_only",
    ),
    "tokens.py Verifier._verify_signed: its header is not": _SHAPES,
    "tokens.py Verifier._check_signature: KeysNotFetched": (
        _RING + "until_keys_were_fetched_no_token_is_good_or_bad_unless_it_is_no_token",
    ),
    "tokens.py Verifier._check_signature: it is signed with": (
        _RING + "until_keys_were_fetched_no_token_is_good_or_bad_unless_it_is_no_token",
    ),
    "tokens.py Verifier._check_signature: KeyNotFound (2)": UNNAMED,
    "tokens.py Verifier._check_signature: KeyNotFound": WITHDRAWN,
    "tokens.py Verifier._check_signature: its payload": (_DOCTOR + "what_is_no_token_is_told_apart",),
    "tokens.py Verifier._check_signature: its signature": (_TOKENS + "a_signature_of_anything_else_is_refused",),
    "tokens.py _check_header: its header names no": (_DOCTOR + "what_is_no_token_is_told_apart",),
    "tokens.py _check_header": (_TOKENS + "a_header_that_asks_for_more_than_is_understood_is_refused",),
    "tokens.py Verifier._verify_signed: _check_header": (
        _TOKENS + "a_header_that_asks_for_more_than_is_understood_is_refused",
    ),
    "tokens.py _Ed25519Key.verify": (_TOKENS + "a_signature_of_anything_else_is_refused",),
    "tokens.py _PssKey.verify": (
        _TOKENS + "a_signature_of_anything_else_is_refused",
        _TOKENS + "a_signature_whose_leading_zeros_are_cut_off_is_refused",
    ),
    "tokens.py _Ed25519Key": (_TOKENS + "an_algorithm_that_python_jose_lacks_takes_no_key_of_another_kind",),
    "tokens.py _PssKey": (_TOKENS + "an_algorithm_that_python_jose_lacks_takes_no_key_of_another_kind",),
    # What is new is held by something below, or needs an entry.
    "": (
        "tests/test_tokens.py",
        "tests/test_claims.py",
        "tests/test_key_sets.py",
        "tests/test_key_source.py",
        "tests/test_keyring.py",
        "tests/test_keys.py",
    ),
}
# Other modules whose refusals are found, the exceptions that are refusals there, and the tests that hold them.
REFUSING = {
    "storage/compiling.py": ({"UnscopedStatementError"}, ("tests/test_statements.py",)),
    "storage/scoping.py": ({"UnscopedStatementError"}, ("tests/test_statements.py",)),
    "storage/quoting.py": (
        {"ValueError"},
        ("tests/test_sessions.py::test_a_user_id_with_nul_reaches_no_connection",),
    ),
    "storage/session.py": (
        {"RuntimeError"},
        (
            "tests/test_sessions.py::test_a_swallowed_error_is_not_taken_for_a_commit",
            "tests/test_sessions.py::test_several_rows_are_never_taken_for_one",
            "tests/test_sessions.py::test_a_connection_that_is_in_the_middle_of_a_statement_is_not_used_again",
            "tests/test_sessions.py::test_a_session_that_has_ended_says_so",
        ),
    ),
    "storage/leases.py": (
        {"WireError", "RuntimeError"},
        (
            "tests/test_opening.py::test_a_connection_on_which_openings_do_not_hold_is_not_used",
            "tests/test_opening.py::test_behind_a_pooler_nothing_is_ready",
        ),
    ),
    "storage/wire.py": (
        {"WireError", "ValueError", "Unanswered"},
        (
            "tests/test_opening.py::test_a_connection_that_asyncpg_writes_past_us_is_not_used",
            "tests/test_opening.py::test_an_opening_with_nul_is_not_made",
            "tests/test_opening.py::test_what_is_in_nobodys_transaction_is_not_sent",
            "tests/test_sessions.py::test_a_user_id_with_nul_reaches_no_connection",
            "tests/test_whole_changes.py::test_a_change_whose_answer_cannot_be_read_is_in_doubt",
            "tests/test_cut_connections.py",
        ),
    ),
    "storage/database.py": (
        {"UnsafeRoleError", "SchemaBehindError"},
        (
            "tests/test_migrate.py::test_an_empty_database_is_not_served",
            "tests/test_migrate.py::test_a_newer_schema_is_left_alone",
            "tests/test_roles.py::test_a_database_that_does_not_keep_every_character_apart_is_refused",
        ),
    ),
    "storage/roles.py": (
        {"UnsafeRoleError"},
        (
            "tests/test_two_layers.py::test_a_probe_policy_for_everybody_is_refused",
            "tests/test_roles.py::test_a_requests_role_that_became_powerful_does_not_serve",
            "tests/test_roles.py::test_the_owner_without_a_role_to_switch_to_does_not_serve",
            "tests/test_roles.py::test_a_database_that_does_not_keep_every_character_apart_is_refused",
        ),
    ),
}

# What a user's requests may do to another's rows and be told of them, as seen over HTTP.
ISOLATION = (
    "tests/test_isolation_http.py::test_what_is_a_strangers_is_403_whether_live_or_trashed_and_stays_as_it_is",
    "tests/test_isolation_http.py::test_an_unknown_id_and_what_is_no_uuid_are_404",
    "tests/test_isolation_http.py::test_no_listing_shows_a_strangers_task",
    "tests/test_isolation_http.py::test_a_live_task_is_restored_without_a_change_whatever_is_in_a_strangers_trash",
    "tests/test_isolation_http.py::test_a_user_id_is_taken_character_for_character",
    "tests/test_listing.py::test_a_listing_shows_only_the_callers_tasks",
    "tests/test_listing.py::test_a_walk_sees_each_task_exactly_once_while_others_are_written",
    "tests/test_preconditions.py::test_if_none_match_of_someone_elses_task_is_403",
    "tests/test_preconditions.py::test_an_unchanged_listing_is_304_until_any_write_of_its_owner",
    "tests/test_preconditions.py::test_a_tag_and_a_cursor_of_one_user_give_another_no_304_and_no_row",
    "tests/test_preconditions.py::test_users_without_an_account_have_tags_of_their_own",
    "tests/test_tasks.py::test_versions_rise_with_every_write_and_stay_apart_per_user",
    "tests/test_tasks.py::test_a_miss_takes_no_clock_and_makes_no_account",
    "tests/test_isolation_http.py::test_what_is_a_strangers_is_403_whether_live_or_trashed_and_stays_as_it_is",
    "tests/test_isolation_http.py::test_anothers_tag_is_404_as_one_that_nobody_has_and_stays_as_it_is",
    "tests/test_isolation_http.py::test_a_tag_that_both_have_is_changed_on_ones_own_tasks_alone",
    "tests/test_isolation_http.py::test_a_reference_to_a_strangers_row_is_422_in_the_same_bytes_as_one_to_nothing",
    "tests/test_isolation_http.py::test_what_has_the_same_id_is_written_on_ones_own_side_alone",
    "tests/test_isolation_http.py::test_a_series_keeps_its_next_when_another_erases_a_task_of_that_id",
    "tests/test_isolation_http.py::test_an_export_of_anothers_is_put_in_as_if_nobody_had_its_ids",
    "tests/test_isolation_http.py::test_a_strangers_part_keeps_nothing_in_my_trash",
    "tests/test_isolation_pages.py",
    "tests/test_moves.py::test_into_a_list_out_of_it_and_under_a_parent",
    "tests/test_account.py::test_an_account_counts_what_it_has",
    "tests/test_foreign_imports.py::test_what_one_has_left_of_a_file_does_not_keep_another_from_it",
    "tests/test_export.py::test_a_task_that_is_put_elsewhere_meanwhile_is_in_the_export",
    "tests/test_idempotency.py::test_a_key_is_its_users_own",
    "tests/test_idempotency.py::test_a_key_holds_for_a_day_and_goes_with_the_next_one",
    "tests/test_limits.py::test_the_limits_of_one_user_are_no_others",
    "tests/test_preconditions.py::test_a_collections_tag_goes_with_its_owners_clock_and_no_others",
    "tests/test_strangers.py::test_nobody_waits_for_what_another_is_writing",
    "tests/test_isolation_twins.py::test_what_another_has_changes_no_answer_and_no_row",
    "tests/test_batch.py::test_without_atomic_each_stands_for_itself",
)

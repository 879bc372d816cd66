"""Random histories of the catalog on SQLite against the one in memory.

`--hypothesis-seed` repeats a run; a failure prints the history and a blob that reproduces it.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.directory import Directory
from akidb_ray.domain.ids import CollectionId, DatabaseId, JobId, TenantId, UserId
from akidb_ray.domain.jobs import JobState
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import DatabaseState, TenantQuota, TenantStatus, UserStatus
from tests.property import catalog_choices as choose
from tests.property.catalog_machine import STORES, Catalogs, Ids, make_first_file


class CatalogMachine(Catalogs):
    """Adds what callers do."""

    # Tenants

    @rule(
        name=choose.titles,
        slug=choose.slugs,
        external_id=choose.external_ids,
        quota=choose.quotas,
        metadata=choose.metadata,
    )
    def create_tenant(
        self, name: str, slug: Any, external_id: Any, quota: TenantQuota | None, metadata: Any
    ) -> None:
        answer = self.both(
            lambda catalog: catalog.create_tenant(name, slug, external_id, quota, metadata)
        )
        self.made(answer, lambda tenant: tenant.tenant_id)

    @rule(number=choose.picks, changes=choose.tenant_changes, version=choose.versions)
    def update_tenant(self, number: int, changes: Any, version: Any) -> None:
        tenant_id = self.pick(TenantId, number)
        if_version = self.version_of(self.both(lambda each: each.get_tenant(tenant_id)), version)
        self.both(lambda catalog: catalog.update_tenant(tenant_id, changes, if_version))

    @rule(number=choose.picks)
    def purge_tenant(self, number: int) -> None:
        tenant_id = self.pick(TenantId, number)
        decommissioned = {"status": "decommissioned"}
        self.both(lambda catalog: catalog.update_tenant(tenant_id, decommissioned))
        answer = self.both(lambda catalog: catalog.purge_tenant(tenant_id))
        self.made(answer, lambda job: job.job_id)

    @rule(slug=choose.slugs, number=choose.picks)
    def get_tenant(self, slug: str | None, number: int) -> None:
        self.both(lambda catalog: catalog.get_tenant(slug or str(self.pick(TenantId, number))))

    # Users

    @rule(number=choose.picks, email=choose.emails, password_hash=choose.hashes)
    def create_user(self, number: int, email: str, password_hash: bytes | None) -> None:
        tenant_id = self.pick(TenantId, number)
        answer = self.both(lambda catalog: catalog.create_user(tenant_id, email, password_hash))
        self.made(answer, lambda user: user.user_id)

    @rule(number=choose.picks, changes=choose.user_changes)
    def update_user(self, number: int, changes: Any) -> None:
        self.both(lambda catalog: catalog.update_user(self.pick(UserId, number), changes))

    @rule(number=choose.picks, email=choose.emails)
    def get_user(self, number: int, email: str) -> None:
        self.both(lambda catalog: catalog.get_user(self.pick(TenantId, number), email))

    @rule(number=choose.picks)
    def delete_user(self, number: int) -> None:
        self.both(lambda catalog: catalog.delete_user(self.pick(UserId, number)))

    # Databases

    @rule(number=choose.picks, name=choose.names, description=choose.texts)
    def create_database(self, number: int, name: str, description: str) -> None:
        tenant_id = self.pick(TenantId, number)
        answer = self.both(lambda catalog: catalog.create_database(tenant_id, name, description))
        self.made(answer, lambda database: database.database_id)

    @rule(number=choose.picks, changes=choose.database_changes)
    def update_database(self, number: int, changes: Any) -> None:
        self.both(lambda catalog: catalog.update_database(self.pick(DatabaseId, number), changes))

    @rule(number=choose.picks, cascade=st.booleans())
    def delete_database(self, number: int, cascade: bool) -> None:
        database_id = self.pick(DatabaseId, number)
        answer = self.both(lambda catalog: catalog.delete_database(database_id, cascade))
        self.made(answer, lambda job: job.job_id)

    @rule(number=choose.picks, name=choose.names)
    def get_database(self, number: int, name: str) -> None:
        self.both(lambda catalog: catalog.get_database(self.pick(TenantId, number), name))

    # Collections

    @rule(number=choose.picks, name=choose.names, spec=choose.specs, description=choose.texts)
    def create_collection(
        self, number: int, name: str, spec: CollectionSpec, description: str
    ) -> None:
        database_id = self.pick(DatabaseId, number)
        answer = self.both(
            lambda catalog: catalog.create_collection(database_id, name, spec, description)
        )
        self.made(answer, lambda collection_id: collection_id)

    @rule(number=choose.picks, changes=choose.collection_changes)
    def update_collection(self, number: int, changes: Any) -> None:
        collection_id = self.pick(CollectionId, number)
        self.both(lambda catalog: catalog.update_collection(collection_id, changes))

    @rule(number=choose.picks)
    def delete_collection(self, number: int) -> None:
        collection_id = self.pick(CollectionId, number)
        answer = self.both(lambda catalog: catalog.delete_collection(collection_id))
        self.made(answer, lambda job: job.job_id)

    # Lists

    @rule(number=choose.picks, listing=choose.listings, state=choose.states)
    def list_all_kinds(self, number: int, listing: Listing, state: int | None) -> None:
        tenant_id, database_id = self.pick(TenantId, number), self.pick(DatabaseId, number)
        wordless = replace(listing, text=None)
        for states, asked, page_of in (
            (TenantStatus, listing, lambda each, asked: each.list_tenants(asked)),
            (UserStatus, wordless, lambda each, asked: each.list_users(tenant_id, asked)),
            (DatabaseState, listing, lambda each, asked: each.list_databases(tenant_id, asked)),
            (
                CollectionState,
                listing,
                lambda each, asked: each.list_collections(database_id, asked),
            ),
            (JobState, wordless, lambda each, asked: each.list_jobs(None, asked)),
            (JobState, wordless, lambda each, asked: each.list_jobs(tenant_id, asked)),
        ):
            kept = None if state is None else list(states)[state % len(states)]
            self.all_pages(replace(asked, state=kept), page_of)

    # Jobs

    @precondition(lambda self: JobId in self.known)
    @rule(number=choose.picks, steps=st.integers(0, 2), end=st.booleans())
    def work_on_a_job(self, number: int, steps: int, end: bool) -> None:
        job = self.both(lambda catalog: catalog.get_job(self.pick(JobId, number)))
        if hasattr(job, "job_id"):
            placed = self.both(lambda catalog: catalog.job_collections(job))
            for collection, _ in placed[:steps]:
                collection_id = collection.collection_id
                self.both(lambda catalog, each=collection_id: catalog.mark_deleting(each))
                self.both(lambda catalog, each=collection_id: catalog.finish_step(job.job_id, each))
            if end:
                self.both(lambda catalog: catalog.end_job(job.job_id))

    @precondition(lambda self: JobId in self.known)
    @rule(number=choose.picks, what=st.sampled_from(["note", "clear", "fail", "cancel"]))
    def disturb_a_job(self, number: int, what: str) -> None:
        job_id = self.pick(JobId, number)
        self.both(
            {
                "note": lambda catalog: catalog.note_job(job_id, "no host"),
                "clear": lambda catalog: catalog.note_job(job_id, None),
                "fail": lambda catalog: catalog.fail_job(job_id, "broken"),
                "cancel": lambda catalog: catalog.cancel_job(job_id),
            }[what]
        )

    @rule(number=choose.picks, other=choose.picks)
    def finish_a_wrong_step(self, number: int, other: int) -> None:
        job_id, collection_id = self.pick(JobId, number), self.pick(CollectionId, other)
        self.both(lambda catalog: catalog.finish_step(job_id, collection_id))

    @rule()
    def adopt_unfinished(self) -> None:
        adopted = self.both(lambda catalog: catalog.adopt_unfinished())
        for job in adopted:
            self.made(job, lambda job: job.job_id)

    # The cluster

    @rule(store_id=st.sampled_from(STORES), actor_name=choose.actor_names)
    def register_store(self, store_id: Any, actor_name: str) -> None:
        self.both(lambda catalog: catalog.register_store(store_id, actor_name))

    @rule(serving=st.sets(st.sampled_from(STORES)))
    def retire_other_stores(self, serving: Any) -> None:
        self.both(lambda catalog: catalog.retire_other_stores(serving))

    @rule(root_key_hash=st.sampled_from([b"hash", b"other"]))
    def replace_root_key_hash(self, root_key_hash: bytes) -> None:
        self.both(lambda catalog: catalog.replace_root_key_hash(root_key_hash))

    @rule(seconds=st.sampled_from([0.000_001, 1, 86400, 31 * 86400]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(keep=st.integers(0, 12))
    def forget_changes(self, keep: int) -> None:
        self.run(self.sqlite_store.forget_changes(keep))
        self.run(self.memory_store.forget_changes(keep))

    @rule()
    def start_anew(self) -> None:
        self.reopen()

    @rule()
    def follow(self) -> None:
        """A copy that is fed with what came since its version is equal to one made of the whole."""
        self.follower.apply(self.updates(self.follower.version))
        assert vars(self.follower) == vars(Directory(self.whole()))

    @invariant()
    def both_hold_the_same(self) -> None:
        if hasattr(self, "runner"):
            self.whole()

    def version_of(self, thing: Any, wanted: str | None) -> int | None:
        version: int = getattr(thing, "version", 1)
        return {None: None, "known": version, "former": version - 1}[wanted]


def test_sqlite_agrees_with_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    CatalogMachine.ids, CatalogMachine.first_file = Ids(), tmp_path / "first"
    monkeypatch.setattr("akidb_ray.domain.ids.uuid7", CatalogMachine.ids)
    asyncio.run(make_first_file(CatalogMachine.first_file, CatalogMachine.ids))
    run_state_machine_as_test(
        CatalogMachine,
        settings=settings(max_examples=30, stateful_step_count=50, deadline=None, print_blob=True),
    )

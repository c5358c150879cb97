"""Read who did what."""

from fastapi import APIRouter

from service.api.dependencies import Part, StoreOf
from service.store import audit
from shrinknets.wire import AuditEntry, Page

router = APIRouter(prefix="/audit", tags=["service"])


@router.get("", summary="Read the audit trail")
def list_entries(part: Part, store: StoreOf) -> Page[AuditEntry]:
    """Logins, keys made and revoked, jobs submitted and cancelled; newest first."""
    with store.reading() as tx:
        return audit.list_entries(tx, part)

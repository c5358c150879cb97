"""The pages that people look at: rendered here, kept up to date by small scripts."""

from fastapi import APIRouter, Depends

from service.access import Guard, Permission
from service.dashboard import api_docs, assets, figures, login, pages

guarded = APIRouter(
    dependencies=[Depends(Guard(reading=Permission.READ, writing=Permission.SUBMIT))]
)
for part in (pages, figures, api_docs):
    guarded.include_router(part.router)

router = APIRouter()
for part in (assets, login):
    router.include_router(part.router)
router.include_router(guarded)

__all__ = ["router"]

"""The pages that people look at: rendered here, kept up to date by small scripts."""

from fastapi import APIRouter

from service.dashboard import assets, figures, pages

router = APIRouter()
for part in (pages, figures, assets):
    router.include_router(part.router)

__all__ = ["router"]

"""List, describe, download and delete data sets."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse

from service.access import Caller
from service.api.answers import conflict
from service.api.dependencies import DatasetPath, Part, ServicesOf, StoreOf
from service.api.files import Asked, delete_files, file_answers, send_file
from service.api.noting import noted
from service.errors import NotFoundError
from service.store import dataset_changes, datasets
from service.store.datasets import DatasetFilter
from shrinknets.wire import Dataset, DatasetDetails, DatasetSort, DatasetSource, Page, Text

router = APIRouter(prefix="/datasets", tags=["datasets"])


async def _filter(
    source: Annotated[
        DatasetSource | None, Query(description="Those that every worker has, or uploaded ones.")
    ] = None,
    owner: Annotated[Text, Query(max_length=200, description="Handed in by this owner.")] = "",
    text: Annotated[Text, Query(max_length=63, description="Part of the name.")] = "",
) -> DatasetFilter:
    return DatasetFilter(source=source, owner=owner, text=text)


@router.get("", summary="List data sets")
def list_datasets(
    part: Part,
    which: Annotated[DatasetFilter, Depends(_filter)],
    store: StoreOf,
    sort: Annotated[
        DatasetSort, Query(description="A `-` turns it round.")
    ] = DatasetSort.CREATED_DESC,
) -> Page[Dataset]:
    """Data sets that meet all filters, by default the newest first."""
    with store.reading() as tx:
        return datasets.list_datasets(tx, part, which=which, sort=sort)


@router.get("/{dataset}", summary="Describe a data set")
def read_dataset(dataset: DatasetPath, store: StoreOf) -> DatasetDetails:
    """A data set with the rows of each class and the jobs that use it."""
    with store.reading() as tx:
        return datasets.get_dataset(tx, dataset)


@router.get(
    "/{dataset}/content",
    summary="Download a data set",
    response_class=StreamingResponse,
    responses=file_answers("The file as it was handed in."),
)
def download(dataset: DatasetPath, services: ServicesOf, asked: Asked) -> Response:
    """The `.npz` file; those data sets that every worker has are no files of the service."""
    with services.store.reading() as tx:
        sha256 = datasets.get_dataset(tx, dataset).sha256
    if sha256 is None:
        raise NotFoundError("file of the data set", dataset)
    return send_file(services, asked, sha256, f"{dataset}.npz")


@router.delete(
    "/{dataset}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a data set",
    responses=conflict("A job uses it, or every worker has it."),
)
def delete(dataset: DatasetPath, services: ServicesOf, caller: Caller) -> None:
    """Delete a data set that no job uses, with its file unless another one has the same."""
    with noted(services.store, caller, "dataset.delete", dataset) as tx:
        files = dataset_changes.delete_dataset(tx, dataset)
    delete_files(services, files)

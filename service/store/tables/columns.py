"""What the tables have in common: how constraints are named, and types of columns."""

from enum import StrEnum

from sqlalchemy import BigInteger, Enum, Integer, MetaData, String

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts up by itself only in a column of exactly this type.
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
ID = String(32)
SHA256 = String(64)


def one_of(enum: type[StrEnum], name: str) -> Enum:
    """A column type for the values of an enum, checked by the database."""
    return Enum(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )

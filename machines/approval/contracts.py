"""What an approval takes and gives, and what the people do who take part in it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from worker.core.contracts import create_contract, create_orchestrator_contract


class ApprovalInit(BaseModel):
    """What starts an approval. `submissions_max` is how many times the document is shown to the reviewer."""

    document_id: str
    title: str
    text: str
    submissions_max: Annotated[int, Field(ge=1, le=10)] = 3


class ApprovalComplete(BaseModel):
    """How an approval ended. `text` is the document as it was submitted last."""

    document_id: str
    status: Literal["approved", "refused", "withdrawn", "failed"]
    text: str
    submissions: int
    by: str | None
    reason: str | None


class Submission(BaseModel):
    """Ask a reviewer to look at a document. `remarks` are those of earlier submissions."""

    document_id: str
    submission: int
    title: str
    text: str
    remarks: list[str]


class Approved(BaseModel):
    """The reviewer approves."""

    submission: int
    by: str


class Refused(BaseModel):
    """The reviewer refuses, for good."""

    submission: int
    by: str
    reason: str


class Returned(BaseModel):
    """The reviewer wants changes."""

    submission: int
    by: str
    remark: str


class Revise(BaseModel):
    """Ask the author for changes."""

    document_id: str
    submission: int
    text: str
    remark: str


class Revised(BaseModel):
    """The author made them. `submission` is that of the request."""

    submission: int
    text: str


class Withdrawn(BaseModel):
    """The author no longer wants the approval."""

    submission: int
    reason: str


approval = create_orchestrator_contract(
    uri="#/machines/approval",
    name="approval",
    versions={"1.0.0": {"init": ApprovalInit, "complete": ApprovalComplete}},
)

review = create_contract(
    uri="#/services/review",
    type="com.review.request",
    versions={
        "1.0.0": {
            "accepts": Submission,
            "emits": {
                "evt.review.request.approved": Approved,
                "evt.review.request.refused": Refused,
                "evt.review.request.returned": Returned,
            },
        }
    },
)

revision = create_contract(
    uri="#/services/revision",
    type="com.revision.request",
    versions={
        "1.0.0": {
            "accepts": Revise,
            "emits": {"evt.revision.request.success": Revised, "evt.revision.request.withdrawn": Withdrawn},
        }
    },
)

"""State -> the document of `taowatch status --json` (DESIGN.md), and a document -> the text that people read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from taowatch.core import wording
from taowatch.core.model import Conflict, Job, MountsFile, Owner, Project
from taowatch.core.state import State

VERSION = 1


def document(state: State, daemon: dict[str, Any]) -> dict[str, Any]:
    """The snapshot; `daemon` says whether one runs, its pid and since when."""
    file = state.files.get(state.mounts_file, MountsFile(state.mounts_file))
    return {
        "version": VERSION,
        "daemon": {**daemon, "docker": state.docker, "notifications": state.notifications},
        "mounts_file": _file(file),
        "jobs": [_job(job) for job in state.jobs],
        "conflicts": [{**_conflict(c), "kept": c.identity in state.kept} for c in state.conflicts],
        "projects": [_project(project) for project in state.projects],
        "alerts": [asdict(alert) for alert in state.alerts.values()],
    }


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def text(document: dict[str, Any]) -> str:
    """`taowatch status` for people: conflicts first, as they are why one looks."""
    lines = [*_conflict_lines(document), *_file_lines(document["mounts_file"])]
    lines += _job_lines(document["jobs"]) + _project_lines(document["projects"]) + _daemon_lines(document["daemon"])
    return "\n".join(wording.printable(line) for line in lines)


def _file(file: MountsFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "state": file.state,
        "error": file.error,
        "revision": file.revision,
        "written_at": iso(file.written_at),
        "mounts": [{"source": m.source, "destination": m.destination} for m in file.mapping.mounts],
        "owner": _owner(file.owner),
    }


def _owner(owner: Owner) -> dict[str, Any]:
    return {"project": owner.project, "notebook": owner.notebook, "pid": owner.pid, "what": owner.what}


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "command": job.command,
        "image": job.image,
        "pid": job.pid,
        "started_at": iso(job.started_at),
        "project": job.owner.project,
        "notebook": job.owner.notebook,
        "mounts_file": job.mounts_file,
        "mounts": [{"source": source, "destination": destination} for destination, source in job.holds],
    }


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "kind": conflict.kind,
        "severity": conflict.severity,
        "job": conflict.job,
        "destination": conflict.destination,
        "expected": conflict.expected,
        "actual": conflict.actual,
        "since": iso(conflict.since),
        "message": conflict.message,
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "directory": project.directory,
        "name": project.name,
        "notebook": project.notebook,
        "layout": project.layout,
        "allowed": project.allowed,
    }


def _conflict_lines(document: dict[str, Any]) -> list[str]:
    conflicts = document["conflicts"]
    if not conflicts:
        return ["No conflict" + (": every job would get its own folders again." if document["jobs"] else ".")]
    lines = [f"{len(conflicts)} conflict{'s' * (len(conflicts) > 1)}"]
    lines += [f"  {c['severity']:8}  {c['message']}{'  (kept)' * c['kept']}" for c in conflicts]
    lines += [
        "  The running jobs are safe: they keep their folders. Their next tao command is not.",
        "  `taowatch restore` puts the mapping back, `taowatch history` shows what there is.",
    ]
    return lines


def _file_lines(file: dict[str, Any]) -> list[str]:
    revision = f", revision {file['revision']}" if file["revision"] else ""
    lines = ["", f"Mounts file  {file['path']}  ({file['state']}{revision})"]
    if file["error"]:
        lines.append(f"  {file['error']}")
    lines += [f"  {m['destination']}  ->  {m['source']}" for m in file["mounts"]]
    owner = file["owner"]
    if owner["notebook"] or owner["project"] or owner["what"]:
        lines.append(f"  written {file['written_at']} by {_owner_text(owner)}")
    return lines


def _owner_text(owner: dict[str, Any]) -> str:
    return wording.who(Owner(owner["project"], owner["notebook"], owner["pid"], bool(owner["what"]), owner["what"]))


def _job_lines(jobs: list[dict[str, Any]]) -> list[str]:
    if not jobs:
        return ["", "Jobs  none"]
    lines = ["", "Jobs"]
    for job in jobs:
        where = job["notebook"] or job["project"] or ""
        lines.append(f"  {job['id']}  {job['state']:8}  {job['command'] or job['image'] or ''}  {where}".rstrip())
        lines += [f"    {m['destination']}  ->  {m['source']}" for m in job["mounts"]]
    return lines


def _project_lines(projects: list[dict[str, Any]]) -> list[str]:
    if not projects:
        return []
    allowed = {True: "allowed", False: "not allowed: taowatch allow"}
    return [
        "",
        "Projects",
        *(f"  {p['name']}  {p['directory']}  ({allowed[p['allowed']]})" for p in projects),
    ]


def _daemon_lines(daemon: dict[str, Any]) -> list[str]:
    if daemon["running"]:
        since = f", since {daemon['since']}" if daemon["since"] else ""
        running = f"running (pid {daemon['pid']}{since})"
    else:
        running = "not running: no warnings will come. Start it: systemctl --user start taowatch, or taowatch daemon"
    return [
        "",
        f"Daemon  {running}",
        f"  Docker: {daemon['docker']}" + (f" ({daemon['engine']})" if daemon.get("engine") else ""),
        f"  Notifications: {daemon['notifications']}",
    ]

#!/usr/bin/env python3
"""Verifies a countersign receipt, or the checkpoint of a log directory. Written from docs/log-format.md alone.

    verify_receipt.py RECEIPT.json VKEY
    verify_receipt.py --log DIRECTORY VKEY

Python's standard library; Ed25519 by `openssl pkeyutl`, SSH signatures by `ssh-keygen -Y check-novalidate`,
passkeys by `openssl dgst`.
"""
import base64, datetime, glob, hashlib, json, os, re, struct, subprocess, sys, tempfile

NAMESPACE = "decision@countersign.dev"


def need(holds, what):
    if not holds:
        raise SystemExit("FAIL: " + what)


def sha(data):
    return hashlib.sha256(data).digest()


def jcs(value):  # §5: RFC 8785 for what the format holds, which is no fractions
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(jcs(key) + ":" + jcs(value[key]) for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(jcs(item) for item in value) + "]"
    need(not isinstance(value, float), "a fraction where the format has none")
    return json.dumps(value, ensure_ascii=False)


def digest(tag, data, salt=b""):
    return "sha256:" + sha(b"countersign." + tag.encode() + b".v1\n" + salt + data).hex()


def leaf(line):
    return sha(b"\0" + line)


def node(left, right):
    return sha(b"\1" + left + right)


def tree_root(leaves):
    peaks = []  # (height, hash), largest first
    for hash_ in leaves:
        height = 0
        while peaks and peaks[-1][0] == height:
            hash_, height = node(peaks.pop()[1], hash_), height + 1
        peaks.append((height, hash_))
    root = peaks.pop()[1] if peaks else sha(b"")
    while peaks:
        root = node(peaks.pop()[1], root)
    return root


def included(index, size, r, proof):  # §3; the root that the proof leads to
    need(index < size, "index beyond the tree")
    fn, sn = index, size - 1
    for p in proof:
        need(sn != 0, "inclusion proof too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "inclusion proof too short")
    return r


def extends(old, new, old_root, new_root, proof):  # §3
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == sha(b"")
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def run(args, files, data=None):
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            with open(os.path.join(place, name), "wb") as out:
                out.write(content)
        return subprocess.run(args, cwd=place, input=data, capture_output=True)


def open_checkpoint(note, vkey):  # §4
    name, key_id, encoded = vkey.split("+", 2)
    typed = base64.b64decode(encoded, validate=True)
    need(typed[0] == 1 and len(typed) == 33, "the verifier key is not Ed25519")
    need(sha(name.encode() + b"\n" + typed)[:4].hex() == key_id, "the verifier key has another id")
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    signed = False
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or signer != name or raw[:4].hex() != key_id:
            continue
        der = bytes.fromhex("302a300506032b6570032100") + typed[1:]
        pem = "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % base64.b64encode(der).decode()
        done = run(
            "openssl pkeyutl -verify -pubin -inkey key -rawin -in text -sigfile sig".split(),
            {"key": pem.encode(), "text": text.encode(), "sig": raw[4:]},
        )
        need(done.returncode == 0, "the checkpoint's signature does not verify")
        signed = True
    need(signed, "the trusted key did not sign the checkpoint")
    origin, size, root, *extensions = text[:-1].split("\n")
    need(origin == name, "the checkpoint is about another log")
    return origin, int(size), base64.b64decode(root, validate=True), extensions


def follow_keys(vkey, rotations):  # §4: the keys of a log, each with the sizes that it may sign
    chain = [[vkey, 0, None]]
    for seq, data in rotations:
        old, new = data["from"], data["to"]
        need(old == chain[-1][0], "a rotation from a key that is not in force")
        need(new.split("+")[0] == old.split("+")[0] and new not in [key for key, _, _ in chain], "the new key")
        for key in (old, new):
            _, size, _, extensions = open_checkpoint(data["note"], key)
        need([e for e in extensions if e.startswith("key ")] == ["key " + new], "a rotation to another key")
        need(size <= seq, "a rotation signed for more than stood before it")
        chain[-1][2] = seq + 1
        chain.append([new, seq + 1, None])
    return chain


def open_with(note, chain):  # §4
    for key, first, last in chain[::-1]:
        if "\u2014 %s " % key.split("+")[0] not in note:
            continue
        key_id = bytes.fromhex(key.split("+")[1])
        signers = [base64.b64decode(l.split(" ")[2])[:4] for l in note.rsplit("\n\n", 1)[1].splitlines()]
        if key_id in signers:
            opened = open_checkpoint(note, key)
            if first <= opened[1] and (last is None or opened[1] <= last):
                return opened
    raise SystemExit("FAIL: no key that was in force signed the checkpoint")


HEAD = re.compile(
    r'\{"v":1,"seq":(\d+),"time":"([0-9T:.Z-]{24})","kind":"([a-z_.]+)","subject":"([^"\\]+)",'
    r'"policy":(?:null|"(sha256:[0-9a-f]{64})"),"'
)


def parse_entry(line):  # §2
    head = HEAD.match(line)
    need(head is not None, "a line does not have the form of an entry")
    entry = json.loads(line)
    says = (entry["seq"], entry["time"], entry["kind"], entry["subject"], entry["policy"])
    need(says == (int(head[1]), head[2], head[3], head[4], head[5]), "a member stands twice")
    return entry


def epoch(time):
    return datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()


def code_of(question_digest):  # §7
    bits = int(question_digest[7:15], 16) >> 2
    return "".join("23456789ABCDEFGHJKLMNPQRSTUVWXYZ"[(bits >> shift) & 31] for shift in range(25, -1, -5))


def summary_of(q, code):  # §8
    def plain(text):
        if not re.fullmatch(r"[A-Za-z0-9._:@/+=-]+", text):
            quoted = json.dumps(text, ensure_ascii=True)
            text = quoted.replace("\x7f", "\\u007f")
        return text if len(text) <= 64 else text[:64] + "..."

    named = ["%s %s (%s)" % tuple(plain(t[k]) for k in ("kind", "id", "environment")) for t in q["targets"]]
    shown = named[:3] + (["%d more" % (len(named) - 3)] if len(named) > 3 else [])
    return "%s on %s, asked by %s for %s, plan %s..., code %s" % (
        plain(q["tool"]), " and ".join(shown) or "no target", plain(q["requester"]["agent"]),
        plain(q["requester"]["principal"]["id"]), q["plan"][:19], code)


def ssh_signer(signature, message):  # §8; fingerprint, and the flags of an sk- key
    done = run(["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", "sig"], {"sig": signature.encode()}, message)
    need(done.returncode == 0, "a decision's signature does not verify")
    blob = base64.b64decode("".join(signature.strip().split("\n")[1:-1]), validate=True)

    def string(at):
        (length,) = struct.unpack(">I", blob[at : at + 4])
        return blob[at + 4 : at + 4 + length], at + 4 + length

    need(blob[:10] == b"SSHSIG\0\0\0\1", "not an SSHSIG of version 1")
    public, at = string(10)
    fields = []
    for _ in range(4):
        field, at = string(at)
        fields.append(field)
    need(at == len(blob) and fields[0].decode() == NAMESPACE and fields[1] == b"", "a field of the SSHSIG")
    is_sk = public[4:].startswith(b"sk-")
    flags = fields[3][-5] if is_sk else None
    return "SHA256:" + base64.b64encode(sha(public)).decode().rstrip("="), flags


def asked_groups(clause, index, came):  # §9: its own groups, and those of the steps that came
    steps = [clause["escalate"][step]["to"] for at, step in came if at == index]
    return clause["from"] + [group for to in steps for group in to]


def on_call(document, group, at):  # §6
    rotation, people = document["on_call"][group], document["people"]
    turns, starts = rotation["people"], epoch(rotation["starts"])
    first = max(0, int((at - starts) * 1000 // rotation["every_ms"]))
    for i in range(len(turns)):
        person = turns[(first + i) % len(turns)]
        if not people.get(person, {}).get("disabled"):
            return person
    return None


def members(document, groups):
    named = {p for g in groups for p in document["groups"].get(g, [g])}
    return {p for p in named if not document["people"].get(p, {}).get("disabled")}


def served(document, asked, came, person, at):  # §8: the clauses that the person could serve at a moment
    def is_asked(group, when):
        on = document.get("on_call", {})
        return person in members(document, [group]) and (group not in on or on_call(document, group, when) == person)

    return [
        index for index, clause in enumerate(asked["requirement"]["clauses"])
        if any(is_asked(g, when) for g in asked_groups(clause, index, came) for when in (at, at - 5))
    ]


def raw(text):  # base64url without padding, in its one form
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(data).decode().rstrip("=") == text, "a field of a passkey's answer")
    return data


def passkey_shows(proof, message, person, entry, passkeys):  # §8.1
    key = passkeys.get(proof["credential"])
    need(key is not None and not key["removed"], "the passkey was not enrolled, or was removed")
    need(key["person"] == person, "the passkey is another person's")
    client_bytes, auth = raw(proof["client_data"]), raw(proof["authenticator_data"])
    client = json.loads(client_bytes)
    need(client["type"] == "webauthn.get" and raw(client["challenge"]) == sha(message), "the passkey's challenge")
    need(client.get("crossOrigin", False) is False and "topOrigin" not in client, "the page was framed")
    origin = re.fullmatch(r"(https?)://([a-z0-9.-]+)(:[0-9]{1,5})?", client["origin"])
    need(origin is not None and ("." + origin[2]).endswith("." + key["rp_id"]), "the page's origin")
    need(origin[1] == "https" or ("." + origin[2]).endswith(".localhost"), "the page's origin")
    need(auth[:32] == sha(key["rp_id"].encode()), "another relying party")
    need(auth[32] & 0x45 == 5 and (auth[32] & 0x80 != 0) == (len(auth) > 37), "the passkey's flags")
    need(auth[32] & 0x18 != 0x10, "the passkey's flags")
    pem = "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % key["public_key"]
    files = {"key": pem.encode(), "sig": raw(proof["signature"]), "signed": auth + sha(client_bytes)}
    how = "openssl dgst -sha256 -verify key -signature sig signed"
    if key["algorithm"] == -8:
        how = "openssl pkeyutl -verify -pubin -inkey key -rawin -in signed -sigfile sig"
    need(key["algorithm"] in (-7, -8, -257) and run(how.split(), files).returncode == 0, "a passkey's signature")
    return "A3" if epoch(entry["time"]) >= epoch(key["counts_from"]) else "A2"


def enrol(data, entry, invited, passkeys):  # §8.3
    need(data["credential"] not in passkeys, "a passkey enrolled twice")
    need(epoch(data["counts_from"]) >= epoch(entry["time"]) - 5, "a passkey that counts from before it was enrolled")
    if data["by"]["kind"] == "invitation":
        by = invited.pop(data["by"]["code_digest"], None)
        need(by is not None and by["person"] == data["person"], "a passkey that nobody invited")
        need(epoch(entry["time"]) <= epoch(by["expires_at"]) + 5, "a code after its time")
    else:
        s, proof = data["by"]["statement"], data["by"]["proof"]
        need((s["action"], s["credential"], s["public_key"]) == ("add", data["credential"], data["public_key"]), "add")
        need(s["person"] == s["approver"] == data["person"], "a passkey that another person added")
        if proof["kind"] == "webauthn":
            message = b"countersign.credential.v1\n" + jcs(s).encode()
            need(passkey_shows(proof, message, data["person"], entry, passkeys) == "A3", "a passkey added with less")
    passkeys[data["credential"]] = dict(data, removed=False)


def check_decision(data, asked, people, entry, witnessed, passkeys):
    s, question = data["statement"], asked["question"]
    message = b"countersign.decision.v1\n" + jcs(s).encode()
    need(s["typ"] == "countersign.decision" and s["v"] == 1, "a statement of another type")
    need(s["question"] == data["question"] == asked["digest"], "a decision about another question")
    need(digest("statement", message) == data["statement_digest"], "the statement's digest")
    need(s["summary"] == summary_of(question, asked["code"]), "the statement's summary")
    need(s["approver"] == data["person"], "the statement is another person's")
    kind = data["proof"]["kind"]
    if kind == "webauthn":
        shown = passkey_shows(data["proof"], message, data["person"], entry, passkeys)
    elif kind == "session":  # §8.2: the gateway says so
        shown = "A2" if -5 <= epoch(entry["time"]) - epoch(data["proof"]["signed_in_at"]) <= 305 else "A1"
    else:
        fingerprint, flags = ssh_signer(data["proof"]["signature"], message)
        need(fingerprint == data["proof"]["fingerprint"], "another key signed")
        owned = [
            key for key in people.get(data["person"], {}).get("ssh", []) if key["fingerprint"] == fingerprint
        ]
        need(owned and not people[data["person"]]["disabled"], "the key is not %s's" % data["person"])
        shown = "A3" if flags is not None and flags & 5 == 5 and owned[0]["user_verified"] else "A2"
    need(data["assurance"] <= shown, "the assurance is overstated")
    if data["counted"]:
        requester = question["requester"]
        involved = set(requester["owners"]) | set(requester["chain"])
        if requester["principal"]["kind"] == "person":
            involved.add(requester["principal"]["id"])
        solo = data["person"] in involved and asked["requirement"]["solo"] == data["person"]
        need(data["person"] not in involved or solo, "a self-approval")
        need(s["solo"] == solo, "solo")
        if s["decision"] != "take_back":
            need(epoch(entry["time"]) <= epoch(question["deadline"]) + 5, "a decision after the deadline")
    if s["log"] is not None:
        need((s["log"]["size"], s["log"]["root"]) in witnessed, "the approver saw another log")


def verify_receipt(path, vkey):
    with open(path, encoding="utf-8", newline="") as file:
        receipt = json.load(file)
    need(receipt["typ"] == "countersign.receipt" and receipt["v"] == 1, "not a receipt of version 1")
    rotated = [(e["seq"], json.loads(e["line"])) for e in receipt["entries"] if '"log.key_rotated"' in e["line"]]
    rotated = [(seq, entry["data"]) for seq, entry in rotated if entry["kind"] == "log.key_rotated"]
    chain = follow_keys(receipt["log"]["key"], rotated)
    need(vkey in [key for key, _, _ in chain], "the receipt is of another key")
    origin, size, root, extensions = open_with(receipt["checkpoint"], chain)
    need(origin == "countersign.dev/log/" + receipt["log"]["id"], "the checkpoint is about another log")
    need("isolation %s" % receipt["isolation"] in extensions, "the isolation")
    entries, before = [], -1
    for item in receipt["entries"]:
        line = item["line"].encode()
        proof = [bytes.fromhex(hash_) for hash_ in item["proof"]]
        need(included(item["seq"], size, leaf(line), proof) == root, "entry %d is not in the log" % item["seq"])
        entry = parse_entry(item["line"])
        need(entry["seq"] == item["seq"] > before, "the order of the entries")
        before = item["seq"]
        entries.append(entry)
    need(entries[0]["seq"] == 0 and entries[0]["kind"] == "log.opened", "entry 0 is missing")
    need(entries[0]["data"]["key"] == receipt["log"]["key"], "entry 0 names another key")
    adopted = {e["data"]["revision"] for e in entries if e["kind"] == "policy.adopted"}
    policies = {}
    for policy in receipt["policies"]:
        if policy["document"] is not None:
            need(digest("policy", jcs(policy["document"]).encode()) == policy["revision"], "a policy document")
            need(policy["revision"] in adopted, "a policy that was not adopted")
            policies[policy["revision"]] = policy["document"]
    witnessed = set()
    for seen in receipt["witnessed"]:
        proof = [bytes.fromhex(hash_) for hash_ in seen["proof"]]
        old_root = bytes.fromhex(seen["root"][7:])
        need(extends(seen["size"], size, old_root, root, proof), "a consistency proof")
        witnessed.add((seen["size"], seen["root"]))
    for blob in receipt["blobs"]:
        content, salt = base64.b64decode(blob["bytes"]), bytes.fromhex(blob["salt"])
        need(digest(blob["tag"], content, salt) == blob["digest"], "a document")
        need(any('"%s"' % blob["digest"] in item["line"] for item in receipt["entries"]), "a document of nobody")
    own = [e for e in entries if e["subject"] == receipt["request"] or e["kind"].startswith("credential.")]
    return judge(own, receipt["request"], policies, witnessed)


def judge(own, request, policies, witnessed):  # §9
    state, asked, planned, grant, approvals, came = "new", None, None, None, {}, []
    open_inquiries, fixable = set(), False
    invited, passkeys = {}, {}

    def step(allowed, then):
        nonlocal state
        need(state in allowed.split(), "%s of a request that is %s" % (kind, state))
        state = then

    for entry in own:
        kind, data = entry["kind"], entry["data"]
        document = policies.get(entry["policy"])
        if kind == "request.received":
            step("new", "received")
            need("unresolved" not in data["requester"] or data["effect"] == "read", "a change by somebody unknown")
        elif kind == "request.planned":
            step("received", "planned")
            planned = data
        elif kind == "consent.asked":
            step("planned", "held")
            asked, q = data, data["question"]
            need(digest("question", jcs(q).encode()) == data["digest"], "the question's digest")
            need(code_of(data["digest"]) == data["code"] and q["request"] == request, "the question's code or request")
            need(digest("requirement", jcs(data["requirement"]).encode()) == q["requirement"], "the requirement")
            need("unresolved" not in q["requester"], "people were asked for somebody unknown")
            need(q["plan"] == planned["plan"]["digest"] and q["view"] == planned["view"]["digest"], "plan or view")
        elif kind == "decision.recorded":
            need(state == "held" and document is not None, "a decision without a question or a policy")
            check_decision(data, asked, document["people"], entry, witnessed, passkeys)
            s = data["statement"]
            serves = served(document, asked, came, data["person"], epoch(entry["time"]))
            if data["counted"] and s["decision"] != "take_back":
                need(serves and set(data.get("clauses", serves)) <= set(serves), "a decision by who was not asked")
            if data["counted"] and s["decision"] == "approve":
                need(data["statement_digest"] not in approvals, "an approval twice")
                approvals[data["statement_digest"]] = (data, serves)
            elif data["counted"] and s["decision"] == "deny":
                fixable = s.get("fixable", False)
            elif data["counted"] and s["decision"] == "take_back":
                approvals[s["takes_back"]] = None
        elif kind == "consent.escalated":
            step("held", "held")
            need(data["question"] == asked["digest"], "an escalation of another question")
            groups = set()
            for at in data["steps"]:
                due = asked["requirement"]["clauses"][at["clause"]]["escalate"][at["step"]]
                since = epoch(asked["question"]["asked_at"]) + due["afterMs"] / 1000
                need(since - 5 <= epoch(entry["time"]) <= epoch(asked["question"]["deadline"]) + 5, "a step not due")
                need((at["clause"], at["step"]) not in came, "a step twice")
                came.append((at["clause"], at["step"]))
                groups |= set(due["to"])
            need(sorted(groups) == data["to"], "the groups of an escalation")
        elif kind == "consent.reminded":
            step("held", "held")
        elif kind == "inquiry.made":
            step("held", "held")
            need(data["question"] == asked["digest"], "an inquiry about another question")
            open_inquiries.add(data["inquiry"])
        elif kind == "inquiry.answered":
            step("held", "held")
            need(data["inquiry"] in open_inquiries, "an answer to nothing")
            open_inquiries.remove(data["inquiry"])
        elif kind == "credential.invited":
            invited[data["code_digest"]] = data
        elif kind == "credential.enrolled":
            enrol(data, entry, invited, passkeys)
        elif kind == "credential.removed":
            passkeys[data["credential"]]["removed"] = True
            for key, a in list(approvals.items()):
                if a and grant is None and a[0]["proof"].get("credential") == data["credential"]:
                    approvals[key] = None
        elif kind == "consent.settled":
            need(data["outcome"] != "denied" or fixable == data.get("fixable", False), "final or fixable")
            step("held", "settled" if data["outcome"] == "granted" else "denied")
        elif kind == "grant.minted":
            if data["basis"] == "verdict":
                need(planned["verdict"] == "allow", "a grant without an allow verdict")
                step("planned", "granted")
            else:
                need(data["question"] == asked["digest"] and data["plan"] == asked["question"]["plan"], "the grant")
                for index, clause in enumerate(asked["requirement"]["clauses"]):
                    able = members(document, asked_groups(clause, index, came))
                    by = {
                        a["person"] for a, serves in filter(None, approvals.values())
                        if a["assurance"] >= clause["assurance"] and index in serves
                    }
                    need(len(by & able) >= clause["count"], "the requirement was not met")
                step("settled", "granted")
            grant = data
        elif kind in ("execution.claimed", "execution.dispatched"):
            need(grant is not None and data["grant"] == grant["grant"], "an execution without its grant")
            need(epoch(entry["time"]) <= epoch(grant["execute_by"]) + 5, "a grant after its time")
            step("granted claimed" if kind == "execution.claimed" else "claimed", kind[10:])
        elif kind == "execution.settled":
            step("dispatched", data["outcome"])
        elif kind == "execution.resolved":
            step("unknown", data["outcome"])
        elif kind in ("request.refused", "request.withdrawn", "request.expired", "request.stale"):
            step("new received planned held settled granted claimed", kind[8:])
    return "%s: %s" % (request, state)


def verify_log(directory, vkey):
    leaves, rotated, first = [], [], None
    for segment in sorted(glob.glob(os.path.join(directory, "[0-9]*.jsonl"))):
        with open(segment, "rb") as file:
            for line in file.read().split(b"\n")[:-1]:
                entry = parse_entry(line.decode())
                need(entry["seq"] == len(leaves), "entry %d is not where it should be" % len(leaves))
                first = first or entry["data"]["key"]
                if entry["kind"] == "log.key_rotated":
                    rotated.append((len(leaves), entry["data"]))
                leaves.append(leaf(line))
    chain = follow_keys(first, rotated)
    need(vkey in [key for key, _, _ in chain], "the log is of another key")
    with open(os.path.join(directory, "checkpoint"), encoding="utf-8", newline="") as file:
        _, size, root, _ = open_with(file.read(), chain)
    need(len(leaves) >= size, "the log is shorter than its checkpoint")
    need(tree_root(leaves[:size]) == root, "the log does not have the signed root")
    return "log: %d entries, %d signed" % (len(leaves), size)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "--log":
        print("OK", verify_log(arguments[1], arguments[2]))
    elif len(arguments) == 2:
        print("OK", verify_receipt(arguments[0], arguments[1]))
    else:
        raise SystemExit(__doc__)

"""Who is asking: the user id of a bearer token."""

from typing import Annotated

from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jose import JWTError, jwt

from bench.peers.common.config import settings

bearer_scheme = HTTPBearer()


async def get_current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer_scheme)]) -> str:
    """The `sub` of a valid token; 401 otherwise."""
    unauthorized = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        payload = jwt.decode(credentials.credentials, settings.jwt_secret, algorithms=["HS256"])
    except JWTError:
        raise unauthorized from None
    user_id = payload.get("sub")
    if not isinstance(user_id, str):
        raise unauthorized
    return user_id


CurrentUser = Annotated[str, Depends(get_current_user)]

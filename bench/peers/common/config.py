"""Settings of the service, read from the environment."""

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Configuration; the variables are the members' names in capitals."""

    database_url: str
    jwt_secret: str
    pool_size: int = 10


settings = Settings()  # the values come from the environment
